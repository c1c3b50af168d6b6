"""Clients that do not take their answers: cut off, and what they left is given back; who is merely slow is served."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from api import downloads, wire
from tests.api.hand import Hand
from tests.api.service import Service, Tenant, png, serving

SIDE = 1700
"""Of a photo of noise: 8 MiB are more than the system by itself keeps for a connection."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that others take slowly from."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def tenant(service: Service) -> Tenant:
    """Whoever has the photo."""
    return service.tenant()


@pytest.fixture(scope="module")
def photo(tenant: Tenant) -> str:
    """The path of a large photo."""
    identity_id = tenant.identity()
    answer = tenant.http.post(f"/v1/identities/{identity_id}/references", files=[("files", png(side=SIDE))])
    return f"/v1/references/{answer.json()['data'][0]['id']}/image"


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How often a reader was looked at."""
    judged, judge = [], wire.Wire._judge_reader

    def noted(connection: wire.Wire, seconds: float) -> None:
        judged.append(seconds)
        judge(connection, seconds)

    monkeypatch.setattr(wire.Wire, "_judge_reader", noted)
    return judged


def _connected(service: Service) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    client.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
    client.settimeout(30)
    return client


def _asking(service: Service, tenant: Tenant, path: str) -> socket.socket:
    client = _connected(service)
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {tenant.token}\r\n\r\n"
    client.sendall(head.encode())
    return client


def _is_cut_off(client: socket.socket, seconds: float) -> bool:
    """Say whether the other side hangs up, without taking anything of what it has sent."""
    poll = select.poll()
    poll.register(client, select.POLLHUP | select.POLLERR)
    return bool(poll.poll(seconds * 1000))


def _comes_true(seconds: float, what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    return what()


def _taken(client: socket.socket, at_once: int, pause: float, at_most: float = 60.0) -> int:
    """Take what comes, so much at a time; return how much it was."""
    taken, deadline = 0, time.monotonic() + at_most
    try:
        while (data := client.recv(at_once)) and time.monotonic() < deadline:
            taken += len(data)
            time.sleep(pause)
    except ConnectionError:
        pass
    return taken


@pytest.mark.parametrize("piece", [downloads._PIECE_BYTES, 64 << 20])
def test_who_takes_nothing(
    service: Service, tenant: Tenant, photo: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that takes nothing is cut off, and nothing is kept for it, whether in pieces or whole."""
    monkeypatch.setattr(wire, "TAKING_SECONDS", 0.5)
    monkeypatch.setattr(downloads, "_PIECE_BYTES", piece)
    with _asking(service, tenant, photo) as client:
        assert _is_cut_off(client, 30.0)
    assert _comes_true(10.0, lambda: not service.parts.downloads._bytes)


def test_who_takes_a_little(
    service: Service, tenant: Tenant, photo: str, judged: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it help to take less than the slowest pace."""
    monkeypatch.setattr(wire, "TAKING_SECONDS", 0.5)
    monkeypatch.setattr(wire, "SLOWEST_BYTES_PER_SECOND", 64 << 20)
    with _asking(service, tenant, photo) as client:
        assert _taken(client, 32 << 10, 0.05) < SIDE * SIDE * 3
    assert judged


def test_who_is_slow_is_served(
    service: Service, tenant: Tenant, photo: str, judged: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader at a fair pace has all of it, though it takes longer than the limit and is looked at."""
    monkeypatch.setattr(wire, "TAKING_SECONDS", 1.5)
    monkeypatch.setattr(wire, "SLOWEST_BYTES_PER_SECOND", 32 << 10)
    monkeypatch.setattr(downloads, "_PIECE_BYTES", 64 << 20)
    with _asking(service, tenant, photo) as client:
        assert _taken(client, 96 << 10, 0.05) > SIDE * SIDE * 3
    assert judged


def test_who_asks_on_and_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks again and again, without a key, and never reads, is cut off too, which is no failure of ours."""
    monkeypatch.setattr(wire, "TAKING_SECONDS", 0.5)
    with capture_logs() as lines, _connected(service) as client:
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert _is_cut_off(client, 30.0)
        time.sleep(0.2)
    assert "request_failed" not in {line["event"] for line in lines}


def test_a_stream_in_which_nothing_happens(service: Service, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of events may be silent for longer than any answer may take."""
    monkeypatch.setattr(wire, "TAKING_SECONDS", 0.3)
    hand = Hand(service)
    job_id = tenant.reference(tenant.identity(), seed=9)["job_id"]
    told: list[str] = []
    with tenant.http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        reading = threading.Thread(target=lambda: told.extend(answer.iter_lines()))
        reading.start()
        time.sleep(1.5)
        hand.work()
        reading.join(30)
    assert "event: succeeded" in told


def test_one_tenant_leaves_so_much(
    service: Service, tenant: Tenant, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as one answer is not taken, the next large one is `busy`; afterwards it is sent."""
    monkeypatch.setattr(downloads, "UNTAKEN_BYTES", 1 << 20)
    with _asking(service, tenant, photo):
        assert _comes_true(20.0, lambda: bool(service.parts.downloads._bytes))
        refused = tenant.http.get(photo)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert int(refused.headers["retry-after"]) > 0
    assert _comes_true(20.0, lambda: not service.parts.downloads._bytes)
    answer = tenant.http.get(photo)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content) > SIDE * SIDE * 3
    assert tenant.http.head(photo).headers["content-length"] == answer.headers["content-length"]


def test_an_answer_that_is_never_sent_counts_no_longer() -> None:
    """What becomes of an answer is known when it is sent to its end, or forgotten."""
    counted = downloads.Downloads()
    answer = counted.answer("tenant", b"x" * 1000, "image/png", {})
    assert counted._bytes == {"tenant": 1000}
    del answer
    assert not counted._bytes
