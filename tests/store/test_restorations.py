"""Restorations: adapters settled at the start, results published once, nothing kept for longer than allowed."""

import pytest
from sqlalchemy import select, update

from store import models, people, queries, restorations
from store.errors import Fenced, NoAdapter, NoUsableReference
from store.models import Identity, OutboxEvent, Restoration
from tests.store.archive import Archive
from tests.store.built import publish


def _personalized(archive: Archive, tenant: str) -> str:
    person = archive.person(tenant)
    archive.training(tenant, person)
    publish(archive, archive.claim("train")[0])
    return person


def test_the_best_tier_there_is(archive: Archive) -> None:
    """The tier auto takes an adapter where there is one; personalized insists on it; instant leaves it."""
    tenant = archive.tenant()
    plain, trained = archive.person(tenant), _personalized(archive, tenant)
    assert archive.restoration(tenant, plain).tier_used == "instant"
    assert archive.restoration(tenant, trained).tier_used == "personalized"
    assert archive.restoration(tenant, trained, tier="instant").tier_used == "instant"
    with pytest.raises(NoAdapter, match="train it"):
        archive.restoration(tenant, plain, tier="personalized")
    with pytest.raises(NoUsableReference):
        archive.restoration(tenant, archive.person(tenant, photos=0))


def test_an_upgrade_becomes_available(archive: Archive) -> None:
    """A restoration made without an adapter says so, once its person has one."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    row = archive.restoration(tenant, person)
    with archive.api.transaction(tenant) as session:
        assert not restorations.upgrade_available(session, row)
    archive.restore(archive.claim("restore")[0])
    archive.training(tenant, person)
    publish(archive, archive.claim("train")[0])
    with archive.api.transaction(tenant) as session:
        assert restorations.upgrade_available(session, row)


def test_several_people_each_with_their_adapter(archive: Archive) -> None:
    """Everybody named is there in order, each with the adapter settled at the start, which the worker has warm."""
    tenant = archive.tenant()
    trained, plain = _personalized(archive, tenant), archive.person(tenant)
    row = archive.restoration(tenant, plain, trained)
    with archive.api.transaction(tenant) as session:
        faces = queries.faces(session, row)
    assert [face.identity_id for face in faces] == [plain, trained]
    assert [face.adapter_id is not None for face in faces] == [False, True]
    assert row.tier_used == "instant"
    job = archive.job(tenant, row.job_id)
    assert (job.warm_key, job.identity_id) == (faces[1].adapter_id, None)


def test_the_photo_is_sealed_under_its_own_key(archive: Archive) -> None:
    """A restoration has a data key of its own, not its person's."""
    tenant = archive.tenant()
    row = archive.restoration(tenant, archive.person(tenant))
    with archive.of(tenant) as session:
        key = archive.safe.key(session, tenant, row.id)
    assert archive.safe.read(key, row.input_blob or "") == b"the photo"


def test_a_result_is_published_once(archive: Archive) -> None:
    """Result, evidence and the end of the job come together; a second publication is refused."""
    tenant = archive.tenant()
    row = archive.restoration(tenant, archive.person(tenant))
    claim = archive.claim("restore")[0]
    archive.restore(claim)
    done = archive.row(Restoration, tenant, row.id)
    assert (archive.job(tenant, row.job_id).state, done.evidence) == ("succeeded", {"similarity": 0.7})
    with pytest.raises(Fenced):
        archive.restore(claim)
    with archive.api.transaction(tenant) as session:
        assert restorations.by_pixels(session, tenant, "pixels") is not None
        assert restorations.by_pixels(session, tenant, "other pixels") is None


def test_the_shortest_retention_counts(archive: Archive) -> None:
    """A result is kept no longer than the request, and each person in it, allow; counted from completion."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    with archive.api.transaction(tenant) as session:
        people.change(session, session.get_one(Identity, (tenant, person)), None, 7200)
    kept = []
    for expires_in in (None, 3600, 90_000):
        row = archive.restoration(tenant, person, expires_in=expires_in)
        assert row.expires_at is None
        archive.restore(archive.claim("restore")[0])
        done, job = archive.row(Restoration, tenant, row.id), archive.job(tenant, row.job_id)
        kept.append((done.expires_at - job.finished_at).total_seconds())
    assert kept == pytest.approx([7200, 3600, 7200], abs=2)
    with archive.of(None) as session:
        assert sum(event.kind == "expire" for event in session.scalars(select(OutboxEvent))) == 3


def test_a_deleted_restoration_is_unreadable_at_once(archive: Archive) -> None:
    """Its job stops, its key is gone, its objects are to go, and nothing personal stays."""
    tenant = archive.tenant()
    row = archive.restoration(tenant, archive.person(tenant))
    claim = archive.claim("restore")[0]
    with archive.api.transaction(tenant) as session:
        session.execute(update(models.RestorationFace).values(box=[1, 2, 3, 4], evidence={"similarity": 1}))
        restorations.remove(session, session.get_one(Restoration, (tenant, row.id)))
    assert archive.job(tenant, row.job_id).state == "canceling"
    left = archive.row(Restoration, tenant, row.id)
    assert (left.input_blob, left.result_blob, left.evidence) == (None, None, {})
    with archive.api.transaction(tenant) as session:
        assert [(face.box, face.evidence) for face in queries.faces(session, left)] == [(None, {})]
        assert session.get(models.DataKey, (tenant, row.id)) is None
    with pytest.raises(Fenced):
        archive.restore(claim)
