"""Reference photos: sealed when they come, judged once, deleted without a trace of the person."""

import pytest
from sqlalchemy import select

from store import ledger, models, references, retries
from store.errors import Fenced
from store.models import Identity, Job, Reference
from store.photos import Picture
from tests.store.archive import Archive, picture


def _add(archive: Archive, tenant: str, person: str, photo: Picture) -> Reference:
    with archive.api.transaction(tenant) as session:
        return references.add(session, archive.safe, session.get_one(Identity, (tenant, person)), photo)


def test_a_photo_is_sealed_and_judged(archive: Archive) -> None:
    """A photo is kept sealed under its person's key, and waits for its verdict in the first lane."""
    tenant = archive.tenant()
    person = archive.person(tenant, photos=0)
    row = _add(archive, tenant, person, picture("a face"))
    assert (row.state, row.filename) == ("checking", "holiday.jpg")
    stored = next(iter(archive.safe.blobs.list("")))
    assert stored.name == row.blob
    assert b"a face" not in b"".join(archive.safe.blobs.get(stored.name))
    claim = archive.claim()[0]
    assert (claim.kind, claim.reference_id) == ("assess", row.id)
    verdict = references.Verdict(True, (), "More light.", 0.8, ["sharp"], "face blob")
    with archive.of(tenant) as session:
        references.judge(session, claim.lease, verdict, {})
    row = archive.row(Reference, tenant, row.id)
    assert (row.state, row.quality_score, row.quality_words, row.advice) == ("accepted", 0.8, ["sharp"], "More light.")


def test_the_same_file_again_is_a_duplicate(archive: Archive) -> None:
    """The very same file is rejected at once and not kept twice; after a rejection it may come again."""
    tenant = archive.tenant()
    person = archive.person(tenant, photos=0)
    first = _add(archive, tenant, person, picture())
    again = _add(archive, tenant, person, picture())
    assert (again.state, again.reasons, again.job_id, again.blob) == ("rejected", ["duplicate"], None, None)
    assert len(list(archive.safe.blobs.list(""))) == 1
    archive.judge(archive.claim()[0], accepted=False)
    assert archive.row(Reference, tenant, first.id).reasons == ["no_face"]
    assert _add(archive, tenant, person, picture()).state == "checking"


def test_a_photo_that_could_not_be_judged(archive: Archive) -> None:
    """Where the judging fails the photo says so; it is judged again by its job, or comes again as a new one."""
    tenant = archive.tenant()
    person = archive.person(tenant, photos=0)
    first = _add(archive, tenant, person, picture())
    claim = archive.claim()[0]
    with archive.of(None) as session:
        ledger.fail(session, claim.lease, "internal", "it broke", retryable=True)
    assert archive.row(Reference, tenant, first.id).state == "failed"
    again = _add(archive, tenant, person, picture())
    assert again.state == "checking"
    with archive.api.transaction(tenant) as session:
        retries.retry(session, session.get_one(Job, (tenant, first.job_id)))
    assert archive.row(Reference, tenant, first.id).state == "checking"
    for _ in range(2):
        archive.judge(archive.claim()[0])
    assert (
        archive.row(Reference, tenant, first.id).state == archive.row(Reference, tenant, again.id).state == "accepted"
    )


def test_a_deleted_photo_leaves_nothing_personal(archive: Archive) -> None:
    """Of a deleted photo a bare tombstone stays; its judging stops, its object is to go."""
    tenant = archive.tenant()
    person = archive.person(tenant, photos=0)
    row = _add(archive, tenant, person, picture())
    claim = archive.claim()[0]
    with archive.api.transaction(tenant) as session:
        references.remove(session, session.get_one(Reference, (tenant, row.id)))
    left = archive.row(Reference, tenant, row.id)
    assert (left.filename, left.sha256, left.blob, left.quality_score) == (None, None, None, None)
    assert left.removed_at is not None
    with pytest.raises(Fenced):
        archive.judge(claim)
    with archive.of(None) as session:
        errands = [
            (e.kind, e.payload["prefix"]) for e in session.scalars(select(models.OutboxEvent)) if e.kind != "webhook"
        ]
    assert errands == [("delete_blobs", row.blob)]


def test_only_accepted_photos_are_used(archive: Archive) -> None:
    """Rejected and deleted photos are not trained on."""
    tenant = archive.tenant()
    person = archive.person(tenant, photos=2)
    rejected = _add(archive, tenant, person, picture("no face"))
    archive.judge(archive.claim()[0], accepted=False)
    with archive.api.transaction(tenant) as session:
        usable = references.accepted(session, tenant, person)
        assert len(usable) == 2
        references.remove(session, usable[0])
        assert [row.id for row in references.accepted(session, tenant, person)] == [usable[1].id]
    assert rejected.id != usable[0].id
