"""What goes out piece by piece, as fast as it is taken, and how much one tenant may leave lying in our memory."""

import threading
import weakref
from collections import Counter
from collections.abc import Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from api.errors import Refusal
from api.wire import SLOWEST_BYTES_PER_SECOND, TAKING_SECONDS

UNTAKEN_BYTES = 256 * 2**20
"""Of one tenant in one process; a single answer may have more."""
_PIECE_BYTES = int(TAKING_SECONDS * SLOWEST_BYTES_PER_SECOND)  # a slower reader than that is cut off within a piece


class Downloads:
    """Counts the bytes of answers that are on their way, by tenant."""

    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, tenant_id: str, data: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
        """Return bytes as an answer; `busy` where too many of earlier ones have not been taken."""
        self._add(tenant_id, len(data))
        response = _InPieces(data, media_type=media_type, headers=headers)
        response.let_go = weakref.finalize(response, self._add, tenant_id, -len(data))  # even if it is never sent
        return response

    def _add(self, tenant_id: str, size: int) -> None:
        with self._lock:
            untaken = self._bytes[tenant_id]
            if size > 0 and 0 < untaken > UNTAKEN_BYTES - size:
                detail = (
                    f"got a request for {size:,} bytes while {untaken:,} were still to be taken; wanted at most "
                    f"{UNTAKEN_BYTES:,} at the same time; read the other answers to their ends first"
                )
                raise Refusal("busy", detail)
            self._bytes[tenant_id] += size
            if not self._bytes[tenant_id]:
                del self._bytes[tenant_id]


class _InPieces(Response):
    """Is under way until its last piece is on the wire: by itself the framework hands all of it on at once."""

    let_go: "weakref.finalize[[str, int], _InPieces]"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a piece whenever the one before it has been taken."""
        body, size = bytes(self.body), len(self.body)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for end in range(_PIECE_BYTES, max(size, 1) + _PIECE_BYTES, _PIECE_BYTES):
                piece = {"body": body[end - _PIECE_BYTES : end], "more_body": end < size}
                await send({"type": "http.response.body", **piece})
        finally:
            self.let_go()
