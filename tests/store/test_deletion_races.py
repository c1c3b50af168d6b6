"""Deletions that come at the same moment as others, or as what they delete; on SQLite nothing can."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import select

from store import erasures, references, restorations
from store.models import DataKey, Identity, OutboxEvent, Reference, Restoration
from store.vault import destroy_keys
from tests.store.archive import Archive, picture

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
WAITS_SECONDS = 0.3


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Somebody else."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def _waits(other: ThreadPoolExecutor, deed: Callable[[], object]) -> Future[object]:
    """Let somebody else begin what has to wait for this transaction."""
    begun = other.submit(deed)
    with pytest.raises(TimeoutError):
        begun.result(WAITS_SECONDS)
    return begun


def _restored(archive: Archive) -> tuple[str, str, str]:
    """Return a tenant, a person, and a restoration of theirs that is done."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    row = archive.restoration(tenant, person)
    archive.restore(archive.claim("restore")[0])
    return tenant, person, row.id


def _remove(archive: Archive, tenant: str, row_id: str) -> bool:
    with archive.api.transaction(tenant) as session:
        return restorations.remove(session, session.get_one(Restoration, (tenant, row_id)))


def _erase(archive: Archive, tenant: str, person: str) -> str:
    with archive.api.transaction(tenant) as session:
        return erasures.begin(session, session.get_one(Identity, (tenant, person)), "requested").id


def _deletions(archive: Archive, row_id: str) -> int:
    """Return how often a row's objects are to be deleted."""
    with archive.of(None) as session:
        events = session.scalars(select(OutboxEvent).where(OutboxEvent.kind == "delete_blobs")).all()
    return sum(row_id in event.payload["prefix"] for event in events)


def test_two_deletions_at_once_are_one(archive: Archive, other: ThreadPoolExecutor) -> None:
    """Whoever deletes a restoration that is just being deleted finds it gone, and nothing breaks."""
    tenant, _, row_id = _restored(archive)
    with archive.api.transaction(tenant) as session:
        assert restorations.remove(session, session.get_one(Restoration, (tenant, row_id)))
        second = _waits(other, lambda: _remove(archive, tenant, row_id))
    assert second.result(10) is False
    assert _deletions(archive, row_id) == 1


def test_an_erasure_beside_a_deletion_begins(archive: Archive, other: ThreadPoolExecutor) -> None:
    """A person in a restoration that is just being deleted is erased all the same."""
    tenant, person, row_id = _restored(archive)
    with archive.api.transaction(tenant) as session:
        assert restorations.remove(session, session.get_one(Restoration, (tenant, row_id)))
        erasure = _waits(other, lambda: _erase(archive, tenant, person))
    assert erasure.result(10)
    assert archive.row(Identity, tenant, person).state == "erasing"
    assert _deletions(archive, row_id) == 1


def test_keys_are_destroyed_once(archive: Archive, other: ThreadPoolExecutor) -> None:
    """Of two who destroy the same keys at once the second finds none any more."""
    tenant, person, _ = _restored(archive)

    def destroy() -> int:
        with archive.api.transaction(tenant) as session:
            assert session.get(DataKey, (tenant, person))
            return destroy_keys(session, tenant, [person])

    with archive.api.transaction(tenant) as session:
        assert destroy_keys(session, tenant, [person]) == 1
        assert session.get(DataKey, (tenant, person)) is None
        second = _waits(other, destroy)
    assert second.result(10) == 0


def test_what_was_just_published_is_deleted_too(archive: Archive) -> None:
    """A result that came after a restoration was looked up for its deletion is not left in the tombstone."""
    tenant = archive.tenant()
    row = archive.restoration(tenant, archive.person(tenant))
    claim = archive.claim("restore")[0]
    with archive.api.transaction(tenant) as session:
        found = session.get_one(Restoration, (tenant, row.id))
        archive.restore(claim)
        restorations.remove(session, found)
    left = archive.row(Restoration, tenant, row.id)
    assert (left.result_blob, left.pixels_sha256, left.evidence) == (None, None, {})


def test_a_deletion_waits_for_what_is_just_being_published(archive: Archive, other: ThreadPoolExecutor) -> None:
    """A result that is published before its job can be stopped is deleted with the rest."""
    tenant = archive.tenant()
    row = archive.restoration(tenant, archive.person(tenant))
    lease = archive.claim("restore")[0].lease
    with archive.of(tenant) as session:
        restorations.publish(session, lease, restorations.Result("blob", None, "pixels", {"similarity": 0.7}, {}), {})
        deletion = _waits(other, lambda: _remove(archive, tenant, row.id))
    assert deletion.result(10) is True
    left = archive.row(Restoration, tenant, row.id)
    assert (left.result_blob, left.pixels_sha256, left.evidence) == (None, None, {})
    assert archive.job(tenant, row.job_id).state == "succeeded"


def test_what_was_just_judged_is_deleted_too(archive: Archive) -> None:
    """A verdict that came after a photo was looked up for its deletion is not left in the tombstone."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    with archive.api.transaction(tenant) as session:
        added = references.add(session, archive.safe, session.get_one(Identity, (tenant, person)), picture("another"))
    claim = archive.claim("assess")[0]
    with archive.api.transaction(tenant) as session:
        found = session.get_one(Reference, (tenant, added.id))
        archive.judge(claim, accepted=False)
        assert references.remove(session, found)
        assert not references.remove(session, found)
    left = archive.row(Reference, tenant, added.id)
    assert (left.quality_score, left.reasons) == (None, [])
