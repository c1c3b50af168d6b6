"""A load balancer as small as can be: each connection goes to the next process that accepts one."""

import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count

_CHUNK = 1 << 16


class Balancer(socketserver.ThreadingTCPServer):
    """Listens on a port of its own; a process that refuses is passed over, nothing is ever sent twice."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.ports = ports
        self.turn = count()
        self.refused = 0

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def connect(self) -> socket.socket | None:
        """Return a connection to the next process that takes one."""
        first = next(self.turn)
        for n in range(len(self.ports)):
            with suppress(OSError):
                return socket.create_connection(("127.0.0.1", self.ports[(first + n) % len(self.ports)]), timeout=5)
            self.refused += 1
        return None


class _Connection(socketserver.BaseRequestHandler):
    """One client's connection, and what goes either way."""

    server: Balancer

    def handle(self) -> None:
        """Carry bytes until either side ends."""
        process = self.server.connect()
        if process is None:
            return  # the client sees a connection that closes without a word
        process.settimeout(None)
        with closing(process):
            back = threading.Thread(target=_carry, args=(process, self.request), daemon=True)
            back.start()
            _carry(self.request, process)
            back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def balancing(ports: Sequence[int]) -> Iterator[Balancer]:
    """Balance between processes for as long as the block lasts."""
    with Balancer(ports) as balancer:
        thread = threading.Thread(target=balancer.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield balancer
        finally:
            balancer.shutdown()
            thread.join()
