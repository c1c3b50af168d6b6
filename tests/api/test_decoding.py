"""The queue before the decoder: short, and fair; whoever is not in it does not notice it."""

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO

import httpx2
import pytest

from api import decoding
from api.decoding import PLACES, DecodingQueue
from api.errors import Refusal
from core.decoder import DecodedPhoto, Decoder
from tests.api.service import Service, Tenant, png

PHOTO = DecodedPhoto(b"png", 1, 1, "", None)
MANY = 60
"""More requests than the service has threads."""


class Held(Decoder):
    """Decodes when it is let, and remembers for whom."""

    def __init__(self, children: int) -> None:
        super().__init__(children)
        self.begun: list[bytes] = []
        self.let = threading.Semaphore(0)

    def decode_file(self, file: IO[bytes], size: int) -> DecodedPhoto:
        """Wait to be let."""
        self.begun.append(file.read(size))
        assert self.let.acquire(timeout=20)
        return PHOTO


def _comes_true(what: object, wanted: int) -> None:
    deadline = time.monotonic() + 20
    while len(what) < wanted and time.monotonic() < deadline:  # type: ignore[arg-type]
        time.sleep(0.01)
    assert len(what) == wanted  # type: ignore[arg-type]


class Queued:
    """A queue, and threads that send photos into it, each of which holds its tenant's name."""

    def __init__(self, decoder: Held, pool: ThreadPoolExecutor) -> None:
        self.queue, self.decoder, self._pool = DecodingQueue(decoder), decoder, pool
        self._sent = 0

    def send(self, tenant_id: str, count: int = 1) -> None:
        """Send photos, one after the other."""
        for _ in range(count):
            self._pool.submit(self.decode, tenant_id)
            self._sent += 1
            inside = min(self._sent, self.decoder.children)
            _comes_true(self.decoder.begun, inside)
            _comes_true(self.queue._waiting, self._sent - inside)

    def decode(self, tenant_id: str) -> DecodedPhoto:
        """Send one photo from this thread."""
        return self.queue.decode_file(tenant_id, io.BytesIO(tenant_id.encode()), 99)


@contextmanager
def _queued(children: int) -> Iterator[Queued]:
    decoder = Held(children)
    with ThreadPoolExecutor(PLACES + 1) as pool:
        yield Queued(decoder, pool)
        decoder.let.release(2 * PLACES)


def test_one_tenant_has_half_of_the_places() -> None:
    """The others always find some; and when all are taken, the next photo is refused at once."""
    with _queued(children=2) as queued:
        for tenant, places in (("a", 8), ("b", 4), ("c", 2), ("d", 1), ("e", 1)):
            queued.send(tenant, places)
            with pytest.raises(Refusal, match="got a photo while .* wanted") as refused:
                queued.decode(tenant)
            assert refused.value.code == "busy"
        with pytest.raises(Refusal):
            queued.decode("f")
        queued.decoder.let.release(PLACES + 1)
        _comes_true(queued.decoder.begun, PLACES)
        assert queued.decode("f") == PHOTO


def test_who_has_nothing_in_it_comes_next() -> None:
    """A tenant's first photo does not wait behind another tenant's many."""
    with _queued(children=2) as queued:
        queued.send("a", 6)
        queued.send("b")
        queued.decoder.let.release()
        _comes_true(queued.decoder.begun, 3)
        assert queued.decoder.begun[-1] == b"b"


def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo whose turn does not come is refused, and its place is free again."""
    monkeypatch.setattr(decoding, "WAITING_SECONDS", 0.05)
    with _queued(children=1) as queued:
        queued.send("a")
        for _ in range(2 * PLACES):
            with pytest.raises(Refusal, match=r"took 0\.05 seconds"):
                queued.decode("a")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nothing is decoded before this is set."""
    monkeypatch.setattr(decoding, "WAITING_SECONDS", 300.0)  # however slow the machine is
    opened, decode = threading.Event(), Decoder.decode_file

    def held(decoder: Decoder, file: IO[bytes], size: int) -> DecodedPhoto:
        assert opened.wait(300)
        return decode(decoder, file, size)

    monkeypatch.setattr(Decoder, "decode_file", held)
    yield opened
    opened.set()


def test_others_do_not_notice(service: Service, tenant: Tenant, stranger: Tenant, gate: threading.Event) -> None:
    """While one tenant sends photos without end, most are `busy`, and everybody else is answered, photos too."""
    address, headers = f"{service.url}/v1/uploads", {"Authorization": f"Bearer {tenant.token}"}

    def send(seed: int) -> httpx2.Response:
        return httpx2.post(address, files={"file": png(seed)}, headers=headers, timeout=300)

    with ThreadPoolExecutor(MANY + 1) as pool:
        sent: list[Future[httpx2.Response]] = [pool.submit(send, seed) for seed in range(MANY)]
        deadline = time.monotonic() + 60
        while sum(one.done() for one in sent) < MANY - PLACES // 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        refused = [one.result() for one in sent if one.done()]
        assert stranger.http.get("/v1/identities", timeout=20).status_code == 200
        photo = pool.submit(stranger.http.post, "/v1/uploads", files={"file": png(1)})
        assert stranger.http.post("/v1/identities", json={"name": "Eve"}, timeout=20).status_code == 201
        gate.set()
        assert photo.result().status_code == 201
        served = [one.result().status_code for one in sent]
    assert len(refused) == MANY - PLACES // 2
    assert {(one.status_code, one.json()["code"], one.headers["retry-after"]) for one in refused} == {
        (503, "busy", "1")
    }
    assert served.count(201) == PLACES // 2
