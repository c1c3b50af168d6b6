"""Clients that send a byte now and then: cut off, and nobody else notices them."""

import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from api import wire
from tests.api.alone import ROOT, Alone, alone
from tests.api.service import Service, serving
from tests.trust.trickling import FORM, HEAD

TRICKLING = 500


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that others are slow with."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def _held(service: Service, first: bytes, drip: bytes, at_most: float) -> float:
    """Send something, then a byte at a time; return after how many seconds the connection was cut."""
    with _connected(service) as client:
        return _cut_off_after(client, first, drip, at_most)


def _connected(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20)


def _cut_off_after(client: socket.socket, first: bytes, drip: bytes, at_most: float) -> float:
    started = time.monotonic()
    with contextlib.suppress(OSError):
        client.settimeout(0.02)
        client.sendall(first)
        while time.monotonic() - started < at_most:
            client.sendall(drip)
            with contextlib.suppress(TimeoutError):
                if client.recv(4096) == b"":
                    break
    return time.monotonic() - started


def test_the_limits() -> None:
    """A head has ten seconds, a body sixty, and an answer as many to be taken in."""
    assert (wire.HEAD_SECONDS, wire.BODY_SECONDS, wire.TAKING_SECONDS) == (10.0, 60.0, 60.0)


@pytest.mark.parametrize("first", [b"", b"POST /v1/up", b"GET /livez HTTP/1.1\r\n", HEAD])
def test_a_head_that_does_not_come(service: Service, first: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends nothing, or a byte of the head at a time, is cut off when the time for heads is over."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.3)
    drip = b"x" if first else b""
    assert 0.2 < _held(service, first, drip, 5.0) < 3.0


@pytest.mark.parametrize("drip", [b"", b"\r\n"])
def test_an_empty_line_is_no_head(service: Service, drip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends empty lines after an answer is cut off as if it sent no head: the parser tells nothing of them."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.3)
    with _connected(service) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert _cut_off_after(client, b"\r\n", drip, 20.0) < 15.0


def test_an_empty_line_before_a_request(service: Service) -> None:
    """Some programs end a request with one: the next request is answered all the same."""
    with _connected(service) as client:
        for _ in range(3):
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_come(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is whoever sends a byte of the body at a time, and the service takes no harm."""
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.3)
    tenant = service.tenant()
    known = f"Authorization: Bearer {tenant.token}\r\n".encode()
    assert 0.2 < _held(service, HEAD + FORM + known + b"\r\n--b\r\n", b"x", 5.0) < 3.0
    assert tenant.http.get("/v1/usage").status_code == 200


def test_a_fair_pace_is_not_cut_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo that takes longer than the limit, but comes at a fair pace, is taken."""
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.2)
    tenant = service.tenant()

    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(16):
            time.sleep(0.05)
            yield bytes(64 << 10)
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = tenant.http.post("/v1/uploads", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_image")


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_others_do_not_notice(tmp_path: Path) -> None:
    """With 500 trickling connections the 95th percentile of ordinary requests at most doubles; all are cut off."""
    with alone(tmp_path, {}) as process:
        _p95(process)  # warm
        quiet = statistics.median(_p95(process) for _ in range(3))
        command = [sys.executable, "-m", "tests.trust.trickling", str(process.port), process.key, str(TRICKLING)]
        with subprocess.Popen(command, cwd=ROOT) as clients:
            _wait_for_connections(process)
            loud = statistics.median(_p95(process) for _ in range(3))
            assert clients.poll() is None, "they were cut off before anything was measured"
            assert clients.wait(150) == 0
    Path(tmp_path / "figures.txt").write_text(f"{quiet} {loud}")
    assert loud <= max(2 * quiet, quiet + 0.005), (quiet, loud)


def _wait_for_connections(process: Alone) -> None:
    deadline = time.monotonic() + 9  # before the first heads are overdue
    sockets = Path(f"/proc/{process.pid}/fd")
    while len(list(sockets.iterdir())) < TRICKLING:
        assert time.monotonic() < deadline, "the clients did not connect in time"
        time.sleep(0.1)


def _p95(process: Alone) -> float:
    """Return the 95th percentile of 200 requests one after the other, in seconds."""
    headers = {"Authorization": f"Bearer {process.key}"}
    times = []
    with httpx2.Client(base_url=f"http://127.0.0.1:{process.port}", headers=headers, timeout=30) as client:
        for _ in range(200):
            started = time.perf_counter()
            assert client.get(f"/v1/jobs/{process.job_id}").status_code == 200
            times.append(time.perf_counter() - started)
    return sorted(times)[190]
