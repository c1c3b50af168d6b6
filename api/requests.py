"""The request as our routes read it: strict JSON, and a fingerprint of what was sent."""

import hashlib
import json
from collections.abc import Callable, Coroutine
from typing import Any

from anyio import to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message, Receive

from api.auth import note_denial
from api.errors import Refusal
from api.limits import FIELD_BYTES, FIELDS, FILES, JSON_BYTES

_CHUNK = 2**20
_DEEPEST = 32


class ApiRequest(Request):
    """A request that knows its fingerprint once its body has been read."""

    _fingerprint: str = ""

    @property
    def fingerprint(self) -> str:
        """Return the digest of method, path, query and body: equal requests have equal ones."""
        target = f"{self.method} {self.url.path}?{self.url.query}"
        return hashlib.sha256(f"{target}\n{self._fingerprint}".encode("utf-8", "surrogateescape")).hexdigest()

    async def body(self) -> bytes:
        """Return the body, and remember its digest."""
        body = await super().body()
        self._fingerprint = hashlib.sha256(body).hexdigest()
        return body

    async def json(self) -> Any:
        """Return the body as JSON: UTF-8, no duplicate names, no NaN, not deep."""
        return strict_json(await self.body())

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]  # awaited only, never a context
        """Return the form, and remember the digest of its parts and files."""
        form = await super().form(**{"max_files": FILES, "max_fields": FIELDS, "max_part_size": FIELD_BYTES, **limits})
        self._fingerprint = await to_thread.run_sync(_form_digest, form)
        return form


class ApiRoute(APIRoute):
    """A route that reads strict requests, and checks the key's scope and the body's size before the body is read.

    What a key may not do, be it found here or by the endpoint, is written into its tenant's audit log.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler with the checks before it."""
        handle = super().get_route_handler()
        declared = self.openapi_extra or {}
        scopes, most = declared.get("x-scopes", ()), declared.get("x-max-body-bytes", JSON_BYTES)

        async def checked(request: Request) -> Response:
            principal = request.scope.get("principal")
            try:
                if scopes and principal is not None:
                    principal.needs(*scopes)
                announced = request.headers.get("content-length", "")
                if announced.isdecimal() and int(announced) > most:
                    raise _too_large(most)
                return await handle(ApiRequest(request.scope, _counted(request.receive, most)))
            except Refusal as refusal:
                if refusal.code == "forbidden" and principal is not None:  # by here its transaction is rolled back
                    asked = f"{request.method} {self.path_format}"
                    await to_thread.run_sync(note_denial, request.app.state.parts.database, principal, asked, refusal)
                raise

        return checked


def _counted(receive: Receive, most: int) -> Receive:
    """Return a way to receive a body that ends where it gets too large: its length need not be announced."""
    size = 0

    async def next_message() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise _too_large(most)
        return message

    return next_message


def _too_large(most: int) -> Refusal:
    detail = (
        f"got a body over the {most:,} bytes that this path takes; wanted a smaller one; send fewer or smaller files"
    )
    return Refusal("too_large", detail)


def strict_json(body: bytes | str) -> Any:
    """Return parsed JSON, or refuse what parsers read in different ways."""
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        detail = f"got JSON that is not strict ({_reason(error)}); wanted UTF-8, finite numbers, each name once"
        raise Refusal("malformed_request", f"{detail}; check the body") from error
    if _depth(value) > _DEEPEST:
        raise Refusal("malformed_request", f"got JSON nested deeper than {_DEEPEST} levels; wanted a flat document")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("the same name twice in one object")
    return dict(pairs)


def _no_constant(constant: str) -> None:
    raise ValueError(f"the constant {constant}")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "text that is not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:100]


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [child for node in level if isinstance(node, dict | list) for child in _children(node)]:
        depth += 1
    return depth


def _children(node: dict[str, Any] | list[Any]) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else node


def _form_digest(form: FormData) -> str:
    digest = hashlib.sha256()
    for name, part in form.multi_items():
        if isinstance(part, UploadFile):
            line = f"{name}\0file\0{file_sha256(part)}"
        else:
            line = f"{name}\0text\0{hashlib.sha256(part.encode('utf-8', 'surrogatepass')).hexdigest()}"
        digest.update(f"{line}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def file_sha256(file: UploadFile) -> str:
    """Return the digest of a file that was sent, read piece by piece, and turn back to its beginning."""
    digest = hashlib.sha256()
    while chunk := file.file.read(_CHUNK):
        digest.update(chunk)
    file.file.seek(0)
    return digest.hexdigest()
