"""Idempotency-Keys: one effect, however often and however simultaneously a request comes."""

import threading
import time
from contextlib import suppress

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from store import replays
from store.columns import now
from store.errors import TwinInFlight
from store.models import IdempotencyKey
from tests.store.archive import Archive


def test_a_key_is_taken_once_and_replayed(archive: Archive) -> None:
    """The first request takes the key; later ones get its fingerprint and answer; other tenants have their own."""
    tenant, other = archive.tenant(), archive.tenant()
    with archive.api.transaction(tenant) as session:
        assert replays.claim(session, tenant, "key", "print") is None
        replays.keep(session, tenant, "key", 201, {"id": "x"}, {"Location": "/x"})
    with archive.api.transaction(tenant) as session:
        earlier = replays.claim(session, tenant, "key", "other print")
        assert earlier is not None
        assert (earlier.fingerprint, earlier.status, earlier.body) == ("print", 201, {"id": "x"})
        assert earlier.headers == {"Location": "/x"}
    with archive.api.transaction(other) as session:
        assert replays.claim(session, other, "key", "print") is None


def test_a_request_that_failed_took_no_key(archive: Archive) -> None:
    """A key goes back with the transaction that took it."""
    tenant = archive.tenant()
    with suppress(RuntimeError), archive.api.transaction(tenant) as session:
        replays.claim(session, tenant, "key", "print")
        raise RuntimeError
    with archive.api.transaction(tenant) as session:
        assert replays.claim(session, tenant, "key", "print") is None


def test_a_key_lasts_a_day(archive: Archive) -> None:
    """After its day a key is as new; the caretaker forgets old ones."""
    tenant = archive.tenant()
    for key in ("used again", "forgotten"):
        with archive.api.transaction(tenant) as session:
            replays.claim(session, tenant, key, "print")
    with archive.of(tenant) as session:
        session.execute(update(IdempotencyKey).values(expires_at=now(-1)))
    with archive.api.transaction(tenant) as session:
        assert replays.claim(session, tenant, "used again", "print") is None
    with archive.of(tenant) as session:
        replays.forget_old(session, tenant)
        assert [row.key for row in session.query(IdempotencyKey)] == ["used again"]


def test_a_concurrent_twin_waits_for_the_first(archive: Archive) -> None:
    """A twin that comes while the first still runs waits, and gets what the first was answered."""
    tenant = archive.tenant()
    taken, answers = threading.Event(), []

    def twin() -> None:
        taken.wait(5)
        with archive.api.transaction(tenant) as session:
            earlier = replays.claim(session, tenant, "key", "print")
            answers.append(earlier.status if earlier else None)

    other = threading.Thread(target=twin)
    other.start()
    with archive.api.transaction(tenant) as session:
        replays.claim(session, tenant, "key", "print")
        taken.set()
        time.sleep(0.3)
        replays.keep(session, tenant, "key", 202, {}, {})
    other.join(10)
    assert answers == [202]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_twin_does_not_wait_for_ever(archive: Archive) -> None:
    """When the first takes too long, its twin is told that it still runs."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as first:
        replays.claim(first, tenant, "key", "print")
        for timeout, error in (("lock_timeout", TwinInFlight), ("statement_timeout", OperationalError)):
            with archive.api.transaction(tenant) as second:
                second.execute(text(f"SET LOCAL {timeout} = '100ms'"))
                with pytest.raises(error):
                    replays.claim(second, tenant, "key", "print")
                second.rollback()
