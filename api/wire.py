"""Bytes from and to the network: uvicorn's fast protocol, with an end to what may be sent without meaning anything,
and to the patience with who does not take its answer.
"""

import asyncio
import socket
import struct
import uuid
from typing import Any

from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.errors import Refusal, problem

LARGEST_HEAD_BYTES = 64 * 2**10
HEAD_SECONDS = 10.0
"""In which a request's head must have come."""
BODY_SECONDS = 60.0
"""In which its body must have come, and besides as long as that takes at the slowest pace that is no attack."""
TAKING_SECONDS = 60.0
"""In which a reader takes the rest of its answer, or goes on taking it at the slowest pace that is no attack."""
SLOWEST_BYTES_PER_SECOND = 32 * 2**10
_AT_ONCE = struct.pack("ii", 1, 0)  # on, and for no second
_DETAIL = (
    f"got bytes that are no HTTP request with a head of at most {LARGEST_HEAD_BYTES:,} bytes; wanted one; look at what "
    "stands between you and the service"
)


class Wire(HttpToolsProtocol):
    """Reads requests; what does not end, or is not sent or taken in time, is cut off; refusals are problems."""

    _idle_bytes = 0  # that have come since the request last got any further
    _body_bytes = 0  # of the request that is being read
    _begun = 0.0  # when its head or its body was first waited for
    _overdue: asyncio.TimerHandle | None = None
    _untaken_bytes = 0  # of answers, when the reader was last looked at
    _untaken: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None  # where requests were sent ahead, `cycle` is the last of them

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, but not forever."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that `pause_writing` tells of the first byte that is not taken
        self._expect(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._expect(None)
        self._look_away()
        if self._answered is not None:
            self._answered.disconnected = not self._answered.response_complete
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the parser by itself would collect a head for as long as somebody sends one."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > LARGEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("too large")
        elif self._overdue is None and self._is_idle():
            self._expect(HEAD_SECONDS)  # the parser makes nothing of an empty line, yet it ended uvicorn's own waiting

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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin an answer, and remember whose it is."""
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """Hold the rest of the answer back, and look whether the reader takes what it has been sent."""
        super().pause_writing()
        self._watch_reader(TAKING_SECONDS)

    def resume_writing(self) -> None:
        """Go on: all of it has been taken."""
        self._look_away()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, unless an answer is under way already, and hang up."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            request = Request({"type": "http", "request_id": uuid.uuid4().hex})
            response = problem(request, Refusal("malformed_request", _DETAIL))
            lines = [b"%s: %s\r\n" % line for line in [*response.raw_headers, (b"connection", b"close")]]
            self.transport.write(b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()

    def _is_idle(self) -> bool:
        """Say whether nothing is being answered, and nothing hung up."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

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

    def _watch_reader(self, seconds: float) -> None:
        """Look again in a while at how much the reader has taken."""
        self._untaken_bytes = self.transport.get_write_buffer_size()
        self._untaken = self.loop.call_later(seconds, self._judge_reader, seconds)

    def _look_away(self) -> None:
        """Forget the reader."""
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _judge_reader(self, seconds: float) -> None:
        """Hang up on who took too little; on who is hung up on already too, since that waits for the reader."""
        taken = self._untaken_bytes - self.transport.get_write_buffer_size()
        if taken < seconds * SLOWEST_BYTES_PER_SECOND:
            # The system too would keep what it has not sent, long after the connection is gone from here.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()
        else:
            self._watch_reader(seconds)
