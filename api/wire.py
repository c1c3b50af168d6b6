"""Bytes from the network: uvicorn's fast protocol, with an end to what may be sent without meaning anything."""

import uuid

from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import Refusal, problem

LARGEST_HEAD_BYTES = 64 * 2**10
_DETAIL = (
    f"got bytes that are no HTTP request with a head of at most {LARGEST_HEAD_BYTES:,} bytes; wanted one; look at what "
    "stands between you and the service"
)


class Wire(HttpToolsProtocol):
    """Reads requests; a head, a trailer or a chunk's extension that does not end is cut off; refusals are problems."""

    _idle_bytes = 0  # that have come since the request last got any further

    def data_received(self, data: bytes) -> None:
        """Read on; the parser by itself would collect a head for as long as somebody sends one."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("too large")

    def on_headers_complete(self) -> None:
        """Take up the request."""
        self._idle_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._idle_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, unless an answer is under way already, and hang up."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            request = Request({"type": "http", "request_id": uuid.uuid4().hex})
            response = problem(request, Refusal("malformed_request", _DETAIL))
            lines = [b"%s: %s\r\n" % line for line in [*response.raw_headers, (b"connection", b"close")]]
            self.transport.write(b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()
