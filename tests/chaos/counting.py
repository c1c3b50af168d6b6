"""What a client's requests met on the way, counted: the client itself repeats them and says nothing."""

import threading
from collections import Counter
from collections.abc import Iterator

import httpx2


class CountingTransport(httpx2.BaseTransport):
    """The client's own transport, with an eye on it."""

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()
        self._inner = httpx2.HTTPTransport()
        self._lock = threading.Lock()

    def count(self, what: str) -> None:
        """Count one more, from any thread."""
        with self._lock:
            self.met[what] += 1

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; count it, and what went wrong with it."""
        self.count("sent")
        try:
            answer = self._inner.handle_request(request)
        except httpx2.TransportError:
            self.count("without an answer")
            raise
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            self.count(f"answered {answer.status_code}")
        assert isinstance(answer.stream, httpx2.SyncByteStream)
        answer.stream = _Watched(self, answer.stream)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class _Watched(httpx2.SyncByteStream):
    """An answer's body."""

    def __init__(self, transport: CountingTransport, inner: httpx2.SyncByteStream) -> None:
        self._transport, self._inner = transport, inner

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except httpx2.TransportError:
            self._transport.count("broken off in the middle of an answer")
            raise

    def close(self) -> None:
        self._inner.close()
