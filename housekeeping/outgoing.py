"""POST to an address that a stranger chose, without letting it reach into our own network.

The name is resolved once, every address it has must be a public one, and the connection goes to the very address that
was checked. No redirect is followed, little is read, and all of it ends in time.
"""

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
READ_BYTES = 64 << 10
TIMEOUT_SECONDS = 15.0
LOOK_UP_SECONDS = 5.0
_UNFIT = (
    "got the host {}, which does not lead to public addresses alone; wanted a name that resolves, and to none that is "
    "private"
)
"""One sentence for whatever a resolver says: who registers webhooks is not to learn which names there are inside."""
# What is anybody's of IPv6; of the rest only what carries a public IPv4 address inside.
_GLOBAL6 = ipaddress.IPv6Network("2000::/3")
# Addresses that carry another one inside: a gateway would pass them on to it.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# What Python calls global, or did in some version, and is nobody's on the internet: addresses of protocols, NAT64 for
# local use, IPv4 in IPv6 as it once was, relays of 6to4.
_NOBODYS = [
    ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "::/96", "fec0::/10")
]


class Unreachable(Exception):
    """The address may not be reached, or did not answer as HTTP in time; `why` is for our log alone."""

    def __init__(self, detail: str, why: str = "") -> None:
        super().__init__(detail)
        self.why = why


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    retry_after: str | None


def is_public(address: Address) -> bool:
    """Say whether an address is anybody's on the internet, and no way back into a private network."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL6:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOBODYS)


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    may_reach: Callable[[Address], bool] = is_public,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Answer:
    """POST once; Unreachable where the address is not allowed or does not answer."""
    ends = time.monotonic() + timeout_seconds
    host, port = _host_and_port(url)
    parts = urlsplit(url)
    address = _checked_address(host, port, may_reach, min(LOOK_UP_SECONDS, timeout_seconds))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with contextlib.closing(socket.create_connection((address, port), ends - time.monotonic())) as plain:
            overdue = threading.Timer(ends - time.monotonic(), _shut, [plain])
            overdue.start()
            try:
                sock = _encrypted(plain, host) if parts.scheme == "https" else plain
                return _exchange(sock, parts.netloc, path, body, headers)
            finally:
                overdue.cancel()
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(f"got no answer from {host} ({type(error).__name__}: {error}); wanted one of HTTP") from error


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Unreachable(f"got an address that cannot be read ({error}); wanted https://host/path") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise Unreachable("got an address that is no plain one of HTTP; wanted https://host/path")
    return host, port or (443 if parts.scheme == "https" else 80)


def _checked_address(host: str, port: int, may_reach: Callable[[Address], bool], seconds: float) -> str:
    """Resolve a name once and return the first of its addresses, all of which must be allowed."""
    try:
        addresses = _addresses(host, port, seconds)
    except (OSError, UnicodeError) as error:  # among them that it took too long
        raise Unreachable(_UNFIT.format(host), f"{type(error).__name__}: {error}") from error
    if not addresses or not all(may_reach(ipaddress.ip_address(text.partition("%")[0])) for text in addresses):
        raise Unreachable(_UNFIT.format(host), f"leads to {addresses}")
    return addresses[0]


def _addresses(host: str, port: int, seconds: float) -> list[str]:
    """Ask the resolver in a thread, which is left to itself when the time is over: a look-up cannot be ended."""
    found: Future[list[str]] = Future()

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result([str(entry[4][0]) for entry in entries])
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    return found.result(seconds)


def _encrypted(plain: socket.socket, host: str) -> socket.socket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _exchange(sock: socket.socket, netloc: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    connection = HTTPConnection("already.connected")
    connection.sock = sock
    with contextlib.closing(connection):
        connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": netloc, "Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        response.read(READ_BYTES)  # a receiver that is cut off in its first sentence would call it a failure
        return Answer(response.status, response.headers.get("Retry-After"))


def _shut(sock: socket.socket) -> None:
    """End a conversation that takes too long, whatever state it is in."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
