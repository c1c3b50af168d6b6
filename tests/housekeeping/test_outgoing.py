"""Tests of the POST that cannot be turned against our own network."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from housekeeping.outgoing import Address, Unreachable, is_public, post


class Receiver(BaseHTTPRequestHandler):
    """Answers as its path says, and remembers what came."""

    got: list[tuple[str, dict[str, str], bytes]] = []

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, dict(self.headers), body))
        status = int(self.path.strip("/").split("?")[0])
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        if status == 503:
            self.send_header("Retry-After", "7")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """A receiver on this machine."""
    Receiver.got.clear()
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def anywhere(_address: Address) -> bool:
    """Allow every address: the receiver of a test is on this machine."""
    return True


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.0.0.1", False),
        ("172.16.3.4", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("::1", False), ("fe80::1", False), ("fc00::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:8.8.8.8", True), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False), ("ff02::1", False), ("::ffff:0:8.8.8.8", False), ("200::1", False),
        ("4000::1", False), ("5f00::1", False), ("2002:808:808::", True),
    ],
)  # fmt: skip
def test_public_addresses(text: str, public: bool) -> None:
    """Only addresses of the open internet are public, however a private one is dressed up."""
    assert is_public(ipaddress.ip_address(text)) == public


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/", "http://localhost/", "http://[::1]/", "http://0x7f.1/", "http://2130706433/",
        "file:///etc/passwd", "https://me@example.com/", "http://", "http://host:99999/", "http://\udcff.example/",
    ],
)  # fmt: skip
def test_private_and_strange_addresses_are_refused(url: str) -> None:
    """No spelling of this machine, and nothing but plain HTTP, is ever connected to."""
    with pytest.raises(Unreachable):
        post(url, b"{}", {})


def test_one_private_address_among_several_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a public and a private address is refused as a whole."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 443)) for text in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    with pytest.raises(Unreachable, match="private"):
        post("https://two.example/", b"{}", {})


def test_a_resolver_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that takes too long is left to itself: the rest of the time would not be enough anyway."""
    over = threading.Event()

    def look_up(*_args: object, **_kwargs: object) -> list[object]:
        over.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    started = time.monotonic()
    with pytest.raises(Unreachable):
        post("https://slow.example/", b"{}", {}, timeout_seconds=0.2)
    over.set()
    assert time.monotonic() - started < 5


def test_what_a_resolver_says_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads into our network is refused in the words for one that there is not; the log knows which."""
    said, known = [], []
    for answer in (socket.gaierror(-2, "Name or service not known"), ["10.0.0.1"]):

        def look_up(*_args: object, answer: object = answer, **_kwargs: object) -> object:
            if isinstance(answer, Exception):
                raise answer
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with pytest.raises(Unreachable) as caught:
            post("https://name.example/", b"{}", {})
        said.append(str(caught.value))
        known.append(caught.value.why)
    assert said[0] == said[1]
    assert "not known" in known[0]
    assert "10.0.0.1" in known[1]


def test_the_name_is_resolved_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was checked: a second look-up would find another."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: object, **kwargs: object) -> object:
        if host == "rebinding.example":
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        return real(host, port, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = address.replace("127.0.0.1", "rebinding.example")
    assert post(f"{url}/204", b"{}", {}, may_reach=anywhere).status == 204
    assert asked == ["rebinding.example"]
    assert Receiver.got[0][1]["Host"].startswith("rebinding.example:")


def test_what_arrives(address: str) -> None:
    """Body, path with query and headers arrive as they were given."""
    answer = post(f"{address}/200?a=b", b'{"x":1}', {"webhook-id": "m1"}, may_reach=anywhere)
    path, headers, body = Receiver.got[0]
    assert (answer.status, path, body, headers["webhook-id"]) == (200, "/200?a=b", b'{"x":1}', "m1")


def test_redirects_are_not_followed(address: str) -> None:
    """A redirect is an answer like any other; nobody is led elsewhere."""
    assert post(f"{address}/302", b"{}", {}, may_reach=anywhere).status == 302
    assert len(Receiver.got) == 1


def test_when_to_come_again(address: str) -> None:
    """A receiver may say when it wants to be asked again."""
    answer = post(f"{address}/503", b"{}", {}, may_reach=anywhere)
    assert (answer.status, answer.retry_after) == (503, "7")


def test_a_dripping_server_is_left() -> None:
    """Who answers a byte at a time does not hold us for longer than the limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                while not done.wait(0.05):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        with pytest.raises(Unreachable):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, may_reach=anywhere, timeout_seconds=0.3)
        assert time.monotonic() - started < 2
        done.set()
        thread.join()
