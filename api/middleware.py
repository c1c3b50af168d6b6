"""What surrounds every request: its id, log line, numbers and headers; HEAD; the last resort."""

import asyncio
import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.errors import Refusal, broken, problem
from api.metrics import Metrics, route_of

log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ENDING = (
    "got a request that was not answered when this process had to end, wanted it answered; it may have taken effect: "
    "send it again with the same Idempotency-Key, or look first"
)
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Envelope:
    """Give every request an id, every answer its headers, the log one line, and a bug a problem."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        answer = _Answer(scope, send)
        started = time.perf_counter()
        try:
            with bound_contextvars(request_id=scope["request_id"]):
                await self.app(scope, receive, answer.send)
        except asyncio.CancelledError:  # the server ends, and this took longer than its grace
            if answer.status:
                raise
            await problem(Request(scope), Refusal("unavailable", _ENDING))(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 -- the boundary: a bug becomes a problem, and is logged
            response = broken(Request(scope), error)
            if answer.status == 0:
                await response(scope, receive, answer.send)
        finally:
            seconds = time.perf_counter() - started
            self.metrics.observe(scope, answer.status, seconds)
            _log(scope, answer.status, seconds)


class _Answer:
    """One answer on its way out: remembers the status, adds the headers."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.status = 0
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.scope["request_id"]
            for name, value in {**_SECURITY, **self.scope.get("answer_headers", {})}.items():
                headers.setdefault(name, value)
            if self.scope["path"].startswith("/v1") and "no-store" not in headers.get("Cache-Control", ""):
                headers["Cache-Control"] = "no-store"
        await self._send(message)


def _log(scope: Scope, status: int, seconds: float) -> None:
    principal = scope.get("principal")
    log.info(
        "request",
        method=scope["method"],
        route=route_of(scope),
        status=status,
        milliseconds=round(seconds * 1000, 1),
        request_id=scope["request_id"],
        tenant_id=principal.tenant_id if principal else None,
    )


class HeadAsGet:
    """Answer HEAD as GET without the body; an endless stream of events has no HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].endswith("/events"):
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET"}
        await self.app(inner, receive, without_body)
        scope.update(inner, method="HEAD")
