"""A stream of events ends with the key that it was opened with, whether something happens in it or not."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from sqlalchemy.exc import OperationalError

from api.auth import COOKIE
from api.routes import jobs
from store import keys
from tests.api.hand import Hand
from tests.api.service import Service, Tenant

READER = ("restorations:read",)
PATIENCE_SECONDS = 30.0


class Stream:
    """What is told of a job, read in a thread of its own."""

    def __init__(self, http: httpx2.Client, job_id: str) -> None:
        self.told: list[str] = []
        self._http, self._path = http, f"/v1/jobs/{job_id}/events"
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def hears(self, event: str) -> bool:
        """Say whether an event is told."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while event not in self.told and time.monotonic() < deadline:
            time.sleep(0.02)
        return event in self.told

    def ends(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Say whether it ends."""
        self._reading.join(seconds)
        return not self._reading.is_alive()

    def _read(self) -> None:
        with self._http.stream("GET", self._path) as answer:
            for line in answer.iter_lines():
                self.told += [line.removeprefix("event: ")] if line.startswith("event: ") else []


@contextmanager
def _following(tenant: Tenant, reader: httpx2.Client, hand: Hand) -> Iterator[Stream]:
    """Follow a job as a reader; whatever happens, the job and with it the stream come to an end."""
    stream = Stream(reader, tenant.reference(tenant.identity())["job_id"])
    try:
        assert stream.hears("queued")
        yield stream
    finally:
        hand.work()
        assert stream.ends()


def test_a_silent_stream(service: Service, tenant: Tenant, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing happens the key is looked at now and then: a stream ends when it is revoked."""
    monkeypatch.setattr(jobs, "KEY_SECONDS", 0.2)
    reader = service.other_key(tenant, READER)
    with _following(tenant, reader.http, hand) as stream:
        assert tenant.http.delete(f"/v1/api-keys/{reader.key_id}").status_code == 204
        assert stream.ends()
    assert stream.told == ["queued"]


def test_a_key_that_expires(service: Service, tenant: Tenant, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does it when the key expires."""
    monkeypatch.setattr(jobs, "KEY_SECONDS", 0.2)
    reader = service.other_key(tenant, READER)
    with _following(tenant, reader.http, hand) as stream:
        with service.parts.database.transaction(tenant.id) as session:
            key = keys.by_id(session, reader.key_id)
            assert key is not None
            keys.rotate(session, key, overlap_seconds=0.0)
        assert stream.ends()
    assert stream.told == ["queued"]


def test_a_session_that_is_closed(
    service: Service, tenant: Tenant, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does one that was opened by a cookie when its session is closed, though the key is good."""
    monkeypatch.setattr(jobs, "KEY_SECONDS", 0.2)
    opened = tenant.http.post("/v1/session")
    reader = httpx2.Client(base_url=service.url, cookies=opened.cookies)
    with reader, _following(tenant, reader, hand) as stream:
        assert not stream.ends(0.5)
        headers = {"X-CSRF-Token": opened.json()["csrf_token"], "Cookie": f"{COOKIE}={opened.cookies[COOKIE]}"}
        assert httpx2.delete(f"{service.url}/v1/session", headers=headers).status_code == 204
        assert stream.ends()
    assert stream.told == ["queued"]


def test_a_lively_stream(service: Service, tenant: Tenant, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens after the key was revoked is not told: the stream ends instead."""
    monkeypatch.setattr(jobs, "KEY_SECONDS", 3600.0)
    reader = service.other_key(tenant, READER)
    with _following(tenant, reader.http, hand) as stream:
        assert tenant.http.delete(f"/v1/api-keys/{reader.key_id}").status_code == 204
        claim = hand.claim("assess")
        assert claim is not None
        hand.progress(claim, 3)
        assert stream.ends()
        hand.finish(claim)
    assert stream.told == ["queued"]


def test_a_key_that_lives(service: Service, tenant: Tenant, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream whose key is good goes on, however often that is looked at."""
    monkeypatch.setattr(jobs, "KEY_SECONDS", 0.02)
    with _following(tenant, service.other_key(tenant, READER).http, hand) as stream:
        assert not stream.ends(0.5)
    assert stream.told == ["queued", "started", "succeeded"]


def test_while_the_database_is_away(
    service: Service, tenant: Tenant, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is sent away because the key cannot be looked up: nothing can be told meanwhile either."""
    monkeypatch.setattr(jobs, "KEY_SECONDS", 0.02)

    def fail(*_given: object) -> None:
        raise OperationalError("", None, OSError())

    with _following(tenant, service.other_key(tenant, READER).http, hand) as stream, monkeypatch.context() as away:
        away.setattr(keys, "by_id", fail)
        assert not stream.ends(0.5)
    assert stream.told == ["queued", "started", "succeeded"]
