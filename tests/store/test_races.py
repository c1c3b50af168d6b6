"""Requests that come at once, on a database where they really do."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from store import consents, erasures, ledger, people, references, retries
from store.errors import StateConflict
from store.models import DataKey, Identity, Job
from tests.store.archive import AGREEMENT, Archive, picture


def _at_once(*deeds: Callable[[], object]) -> list[object]:
    """Do things at the same time; return what each returned or raised."""

    def outcome(deed: Callable[[], object]) -> object:
        try:
            return deed()
        except StateConflict as error:
            return error

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(outcome, deeds))


def test_first_photos_that_come_at_once(archive: Archive) -> None:
    """The first photos of a new tenant's people make one key for the tenant and one for each person."""
    tenant = archive.tenant()
    ids = []
    with archive.api.transaction(tenant) as session:
        for name in ("Ada", "Grace"):
            row = people.create(session, tenant, name)
            consents.record(session, row, AGREEMENT)
            ids.append(row.id)

    def add(person: str, content: str) -> str:
        with archive.api.transaction(tenant) as session:
            row = session.get_one(Identity, (tenant, person))
            return references.add(session, archive.safe, row, picture(content)).blob or ""

    blobs = _at_once(*(lambda p=person, n=n: add(p, f"{p} {n}") for person in ids for n in range(2)))
    with archive.of(tenant) as session:
        assert set(session.scalars(select(DataKey.owner_id))) == {tenant, *ids}
        for blob in blobs:
            assert archive.safe.get(session, tenant, str(blob).split("/")[1], str(blob))


def test_one_training_of_two_that_come_at_once(archive: Archive) -> None:
    """Of simultaneous requests for a training of one person one starts, and the others are refused."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    outcomes = _at_once(*[lambda: archive.training(tenant, person)] * 4)
    assert sum(isinstance(outcome, StateConflict) for outcome in outcomes) == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_starts_behind_an_erasures_back(archive: Archive) -> None:
    """An erasure waits for what is just being started, and stops it; what comes after it is refused."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    erased = threading.Event()

    def identity(session: Session) -> Identity:
        return session.get_one(Identity, (tenant, person))

    def erase() -> None:
        with archive.api.transaction(tenant) as session:
            erasures.begin(session, identity(session), "requested")
        erased.set()

    other = threading.Thread(target=erase)
    with archive.api.transaction(tenant) as session:
        consents.require(session, identity(session), "train")
        other.start()
        assert not erased.wait(0.5)
        session.add(Job(tenant_id=tenant, kind="train", identity_id=person))
    other.join(10)
    with archive.api.transaction(tenant) as session:
        assert set(session.scalars(select(Job.state))) == {"succeeded", "canceled"}
        with pytest.raises(StateConflict, match="being erased"):
            consents.require(session, identity(session), "train")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("kind", ["waiting", "running"])
def test_two_cancels_at_once_are_one(archive: Archive, kind: str) -> None:
    """Whoever cancels a job that somebody else has just canceled is told the same as if that were long ago."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    if kind == "running":
        archive.claim("train")
    with archive.api.transaction(tenant) as session:
        found = session.get_one(Job, (tenant, job_id))
        with archive.api.transaction(tenant) as other:
            first = ledger.cancel(other, other.get_one(Job, (tenant, job_id))).state
        assert ledger.cancel(session, found).state == first in ("canceled", "canceling")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_job_that_ends_at_this_moment_is_not_retried(archive: Archive) -> None:
    """A job that was still running when somebody asked for a retry is not repeated past consent and places."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    job_id = archive.training(tenant, person)
    lease = archive.claim("train")[0].lease
    with archive.api.transaction(tenant) as session:
        found = session.get_one(Job, (tenant, job_id))
        with archive.of(tenant) as other:
            ledger.fail(other, lease, "out_of_memory", "it was too much", retryable=True)
            erasures.begin(other, other.get_one(Identity, (tenant, person)), "requested")
        with pytest.raises(StateConflict, match="running"):
            retries.retry(session, found)
    assert archive.job(tenant, job_id).state == "failed"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_retries_at_once_are_one(archive: Archive) -> None:
    """Whoever retries a job that somebody else has just retried is told that it waits already."""
    tenant = archive.tenant()
    job_id = archive.restoration(tenant, archive.person(tenant)).job_id
    with archive.of(None) as session:
        ledger.cancel(session, session.get_one(Job, (tenant, job_id)))
    with archive.api.transaction(tenant) as session:
        found = session.get_one(Job, (tenant, job_id))
        with archive.api.transaction(tenant) as other:
            retries.retry(other, other.get_one(Job, (tenant, job_id)))
        with pytest.raises(StateConflict, match="queued"):
            retries.retry(session, found)
