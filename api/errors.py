"""Every refusal as RFC 9457 problem+json; the only place that knows status codes of errors."""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from core.errors import PreferError
from store.errors import StoreError

log = structlog.get_logger(__name__)
DATABASE_AWAY = (OperationalError, InterfaceError, NoConnection)
"""What the database's absence looks like: no connection, a broken one, none free in time, a lock held for too long."""


@dataclass(frozen=True)
class Kind:
    """What a problem code means in HTTP."""

    status: int
    title: str
    retryable: bool = False
    retry_after_seconds: int | None = None


KINDS: Mapping[str, Kind] = {
    "malformed_request": Kind(400, "The request could not be read"),
    "unauthenticated": Kind(401, "A valid API key is needed"),
    "forbidden": Kind(403, "The key may not do this"),
    "csrf_required": Kind(403, "The session needs its CSRF header"),
    "not_found": Kind(404, "There is no such thing"),
    "method_not_allowed": Kind(405, "The method is not allowed here"),
    "not_acceptable": Kind(406, "There is no such representation"),
    "conflict": Kind(409, "The state does not allow this"),
    "state_conflict": Kind(409, "The state does not allow this"),
    "consent_required": Kind(409, "A live consent record is needed"),
    "no_usable_reference": Kind(409, "No accepted reference photo"),
    "adapter_mismatch": Kind(409, "The adapter does not fit the backbone"),
    "no_adapter": Kind(409, "The identity has no adapter yet"),
    "idempotency_in_flight": Kind(409, "The first request with this key is still running", True, 1),
    "gone": Kind(410, "It has been erased or has expired"),
    "too_large": Kind(413, "The body is too large"),
    "image_too_large": Kind(413, "The image is too large"),
    "unsupported_media_type": Kind(415, "The content type is not supported"),
    "invalid_request": Kind(422, "The request does not fit its description"),
    "invalid_cursor": Kind(422, "The cursor does not fit"),
    "idempotency_mismatch": Kind(422, "The Idempotency-Key belongs to another request"),
    "unreadable_image": Kind(422, "The image could not be read"),
    "damaged_adapter": Kind(422, "The adapter file is not valid"),
    "rate_limited": Kind(429, "Too many requests", True),
    "queue_full": Kind(429, "Too many jobs are waiting", True, 10),
    "quota_exceeded": Kind(429, "The quota is used up"),
    "damaged_object": Kind(500, "A stored object is damaged"),
    "insecure_settings": Kind(500, "The service is not set up for this"),
    "internal": Kind(500, "Something broke on our side", True),
    "busy": Kind(503, "The service is busy", True, 1),
    "no_room": Kind(507, "There is no room left", True, 30),
    "unavailable": Kind(503, "The service is not ready", True, 5),
}
_OURS: Mapping[str, str] = {
    "damaged_object": "got an object of ours that is not as it was written, wanted it whole",
    "insecure_settings": "got settings of ours that do not open what is stored, wanted those that do",
}
"""What is said of errors whose own words name objects, keys or settings: those are for the log."""
_FALLBACK = Kind(422, "The request cannot be carried out")
_BY_STATUS = {
    400: "malformed_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
}
_MALFORMED = (
    "got a body that cannot be parsed ({}); wanted well-formed JSON or multipart/form-data within the limits of this "
    "path; check the Content-Type and the parts"
)
_ADVICE = {
    "malformed_request": _MALFORMED,
    "not_found": "got a path that leads nowhere; wanted one of /openapi.json; check the path",
    "method_not_allowed": "got a method that this path does not have; wanted one of those in the Allow header",
}


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is refused, and why: what was got, what was wanted, what to do."""

    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    wanted: Sequence[str] = ()
    """What the key or the request should have had, where it is the caller that is refused: for the audit log."""


def absent(kind: str) -> Refusal:
    """Return the one 404 for what does not exist and for what another tenant owns."""
    return Refusal("not_found", f"got an id that names no {kind} of this tenant; wanted one that its list shows")


def problem(request: Request, refusal: Refusal) -> Response:
    """Return a refusal as application/problem+json."""
    kind = KINDS.get(refusal.code, _FALLBACK)
    body: dict[str, Any] = {
        "type": f"https://idprefer.dev/problems/{refusal.code.replace('_', '-')}",
        "title": kind.title,
        "status": kind.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request.scope.get("request_id", ""),
        "retryable": kind.retryable,
    }
    if refusal.errors:
        body["errors"] = list(refusal.errors)
    headers = dict(refusal.headers)
    if kind.retry_after_seconds is not None:
        headers.setdefault("Retry-After", str(kind.retry_after_seconds))
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="idprefer"'
    return JSONResponse(body, kind.status, headers, media_type="application/problem+json")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return problem(request, error)


def _named(request: Request, error: Exception) -> Response:
    assert isinstance(error, PreferError | StoreError)
    if error.code not in _OURS:
        return problem(request, Refusal(error.code, str(error)))
    log.error("installation_broken", path=request.url.path, code=error.code, error=str(error))
    return problem(request, Refusal(error.code, f"{_OURS[error.code]}; name the request_id to your operator"))


def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Refusal):  # the framework wraps what reading the body raises
        return problem(request, error.__cause__)
    if error.__cause__ is not None and _disk_is_full(error.__cause__):
        return _no_room(request)
    code = _BY_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "invalid_request")
    detail = _ADVICE.get(code, "{}").format(_text(str(error.detail)))
    headers = {"Allow": _methods(request)} if code == "method_not_allowed" else error.headers or {}
    return problem(request, Refusal(code, detail, headers=headers))


def _methods(request: Request) -> str:
    """Return all methods of the request's path: the framework names those of one of its routes only."""
    path = getattr(request.scope.get("route"), "path", "")
    known = {method.upper() for method in request.app.openapi()["paths"].get(path, {})}
    return ", ".join(sorted(known | ({"HEAD"} if "GET" in known else set())))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return problem(request, Refusal("malformed_request", _MALFORMED.format("it is no JSON")))
    kind = request.headers.get("content-type", "")
    if error.errors()[0]["loc"] == ("body",) and kind and "json" not in kind:
        detail = f"got a body of type {_text(kind)[:60]!r}; wanted application/json; set the Content-Type"
        return problem(request, Refusal("unsupported_media_type", detail))
    errors = [{"pointer": _pointer(item["loc"]), "detail": _text(item["msg"])} for item in error.errors()[:20]]
    first = errors[0]
    detail = f"got a request that fails at {first['pointer']}: {first['detail']}; wanted one that /openapi.json allows"
    return problem(request, Refusal("invalid_request", detail, errors))


def _pointer(location: Sequence[Any]) -> str:
    place, *rest = [str(part).replace("~", "~0").replace("/", "~1") for part in location] or ["body"]
    return _text("/".join([f"#/{place}", *rest]))


def _text(message: str) -> str:
    """Return a message that UTF-8 can carry, whatever the caller put into it."""
    return message.encode("utf-8", "backslashreplace").decode()[:400]


def _locked(request: Request, error: Exception) -> Response:
    log.warning("database_unavailable", error=type(error).__name__)
    detail = "got a request while the database was locked or away; wanted it free; send the same request again"
    return problem(request, Refusal("busy", detail))


def _disk_is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _no_room(request: Request) -> Response:
    log.error("disk_full", path=request.url.path)
    detail = "got a disk of ours that is full, wanted room for what was sent; try later, and tell your operator"
    return problem(request, Refusal("no_room", detail))


def broken(request: Request, error: Exception) -> Response:
    """Answer a bug of ours: the log knows what happened, the caller gets an id to name; a full disk is no bug."""
    if _disk_is_full(error):
        return _no_room(request)
    log.error("request_failed", path=request.url.path, exc_info=error)
    detail = "got a failure on our side; wanted none; try again and name the request_id when you report it"
    return problem(request, Refusal("internal", detail))


def install(app: FastAPI) -> None:
    """Answer every error of ours and of the framework as a problem."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(PreferError, _named)
    app.add_exception_handler(StoreError, _named)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _invalid)
    for away in DATABASE_AWAY:
        app.add_exception_handler(away, _locked)
