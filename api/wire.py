"""Bytes from the network: uvicorn's fast protocol, with an end to what may be sent without meaning anything."""

import asyncio
import uuid

from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import Refusal, problem

LARGEST_HEAD_BYTES = 64 * 2**10
HEAD_SECONDS = 10.0
"""In which a request's head must have come."""
BODY_SECONDS = 60.0
"""In which its body must have come, and besides as long as that takes at the slowest pace that is no attack."""
SLOWEST_BYTES_PER_SECOND = 32 * 2**10
_DETAIL = (
    f"got bytes that are no HTTP request with a head of at most {LARGEST_HEAD_BYTES:,} bytes; wanted one; look at what "
    "stands between you and the service"
)


class Wire(HttpToolsProtocol):
    """Reads requests; what does not end, or does not come in time, is cut off; refusals are problems."""

    _idle_bytes = 0  # that have come since the request last got any further
    _body_bytes = 0  # of the request that is being read
    _begun = 0.0  # when its head or its body was first waited for
    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, but not forever."""
        super().connection_made(transport)
        self._expect(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the parser by itself would collect a head for as long as somebody sends one."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("too large")

    def on_message_begin(self) -> None:
        """Wait for the rest of the head."""
        self._expect(HEAD_SECONDS)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take up the request, and wait for its body."""
        self._idle_bytes = self._body_bytes = 0
        self._expect(BODY_SECONDS)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body."""
        self._idle_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; how long its answer takes is our own affair."""
        self._idle_bytes = 0
        self._expect(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, unless an answer is under way already, and hang up."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            request = Request({"type": "http", "request_id": uuid.uuid4().hex})
            response = problem(request, Refusal("malformed_request", _DETAIL))
            lines = [b"%s: %s\r\n" % line for line in [*response.raw_headers, (b"connection", b"close")]]
            self.transport.write(b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()

    def _expect(self, seconds: float | None) -> None:
        """Wait for a head or a body for so long; None: for nothing."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if seconds is not None:
            self._begun = self.loop.time()
            self._overdue = self.loop.call_later(seconds, self._cut_off, seconds)

    def _cut_off(self, seconds: float) -> None:
        """Hang up on who is too slow; not on who sends at a fair pace, or waits for us to read."""
        fair = self._begun + seconds + self._body_bytes / SLOWEST_BYTES_PER_SECOND
        if self.flow.read_paused:
            fair = self.loop.time() + seconds
        if fair > self.loop.time():
            self._overdue = self.loop.call_at(fair, self._cut_off, seconds)
        elif not self.transport.is_closing():
            self.transport.abort()
