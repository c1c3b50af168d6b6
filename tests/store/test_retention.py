"""Retention: what is over goes, what no row knows is found, what is old is tidied."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from store import ids, ledger, operators, outbox, people, retention, retries, schedules, uploads, workers
from store.columns import now
from store.models import (
    Adapter,
    AuditEvent,
    DataKey,
    Erasure,
    Identity,
    Job,
    JobEvent,
    OutboxEvent,
    Reference,
    Restoration,
    Upload,
    Worker,
)
from tests.store.archive import Archive, picture
from tests.store.built import publish


def _due(archive: Archive) -> list[outbox.Errand]:
    """Let all errands be due, and take them."""
    with archive.of(None) as session:
        session.execute(update(OutboxEvent).values(available_at=now(-1)))
        return outbox.claim(session, outbox.Wanted(100))


def _age(archive: Archive, tenant: str, model: Any, **values: Any) -> None:
    with archive.of(tenant) as session:
        session.execute(update(model).values(**values))


def test_an_upload_is_kept_for_a_day(archive: Archive) -> None:
    """An upload has a key of its own and goes when its day is over; to expire it twice is fine."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        row = uploads.add(session, archive.safe, tenant, picture("sent ahead"))
        assert archive.safe.get(session, tenant, row.id, row.blob or "") == b"sent ahead"
    assert (row.expires_at - row.created_at).total_seconds() > 86_000
    assert [(errand.kind, errand.payload) for errand in _due(archive)] == [("expire", {"id": row.id})]
    for _ in range(2):
        with archive.of(tenant) as session:
            retention.expire(session, tenant, row.id)
    assert archive.row(Upload, tenant, row.id).blob is None
    with archive.of(tenant) as session:
        assert session.get(DataKey, (tenant, row.id)) is None


@pytest.mark.parametrize("succeeds", [True, False])
def test_an_expired_restoration_goes(archive: Archive, succeeds: bool) -> None:
    """A restoration is deleted when its time after the end of its job is over, however it ended, and not before."""
    tenant = archive.tenant()
    row = archive.restoration(tenant, archive.person(tenant), expires_in=60)

    def expired() -> bool:
        with archive.of(tenant) as session:
            retention.expire(session, tenant, row.id)
            retention.expire(session, tenant, ids.new_id("res"))
        return archive.row(Restoration, tenant, row.id).removed_at is not None

    assert not expired()
    claim = archive.claim("restore")[0]
    if succeeds:
        archive.restore(claim)
    else:
        with archive.of(None) as session:
            ledger.fail(session, claim.lease, "no_face", "got no face, wanted one")
    assert not expired()
    _age(archive, tenant, Job, finished_at=now(-61))
    assert expired()


def test_a_shorter_retention_holds_for_old_results(archive: Archive) -> None:
    """When a person's retention is shortened, what they have already goes earlier too."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    row = archive.restoration(tenant, person, expires_in=7200)
    archive.restore(archive.claim("restore")[0])
    with archive.api.transaction(tenant) as session:
        people.change(session, session.get_one(Identity, (tenant, person)), None, 600)
    for errand in _due(archive):
        if errand.kind == "expire":
            with archive.of(tenant) as session:
                retention.expire(session, tenant, errand.payload["id"])
    done = archive.row(Restoration, tenant, row.id)
    assert (done.expires_at - archive.job(tenant, row.job_id).finished_at).total_seconds() == pytest.approx(600, abs=2)


def test_an_unused_person_retires(archive: Archive) -> None:
    """A person is erased when nothing of theirs was used for their retention, counted from the last use."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        person = people.create(session, tenant, "Ada", 3600).id
    with archive.of(tenant) as session:
        retention.retire(session, tenant, person)
        assert session.scalars(select(Erasure)).all() == []
    assert [errand.kind for errand in _due(archive)] == ["retire", "retire"]
    _age(archive, tenant, Identity, last_active_at=now(-3601))
    with archive.of(tenant) as session:
        retention.retire(session, tenant, person)
        assert session.scalars(select(Erasure.reason)).all() == ["retention"]
        retention.retire(session, tenant, person)


def test_orphans_are_what_no_row_knows(archive: Archive) -> None:
    """Objects that a row points to are known; all others, such as a stale worker's, are orphans."""
    tenant = archive.tenant()
    person = archive.person(tenant, photos=2)
    archive.training(tenant, person)
    publish(archive, archive.claim("train")[0])
    archive.restoration(tenant, person)
    archive.restore(archive.claim("restore")[0])
    with archive.of(tenant) as session:
        orphan = archive.safe.put(session, tenant, person, "adapter", "job/1/adapter", b"stale")
    names = [stored.name for stored in archive.safe.blobs.list("")]
    assert len(names) == 6
    with archive.of(tenant) as session:
        assert retention.orphans(session, tenant, names) == [orphan]


def test_old_history_is_tidied(archive: Archive) -> None:
    """Workers long gone and events of jobs long ended go; what is young stays."""
    tenant = archive.tenant()
    archive.person(tenant)
    with archive.of(None) as session:
        retention.tidy(session)
        assert len(session.scalars(select(JobEvent)).all()) == 3
        assert len(session.scalars(select(Worker)).all()) == 1
        session.execute(update(Job).values(finished_at=now(-retention.HISTORY_SECONDS - 1)))
        session.execute(update(Worker).values(last_seen_at=now(-10_000)))
        retention.tidy(session)
        assert session.scalars(select(JobEvent)).all() == []
        assert session.scalars(select(Worker)).all() == []


def _failed_long_ago(archive: Archive) -> tuple[str, str]:
    """Return a tenant's training that failed, with a checkpoint, and was not tried again."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    ended = {"state": "failed", "checkpoint_blob": "blob", "finished_at": now(-retention.CHECKPOINT_SECONDS - 1)}
    with archive.of(tenant) as session:
        session.execute(update(Job).where(Job.id == job_id).values(**ended))
    return tenant, job_id


def test_checkpoints_nobody_went_on_from_go(archive: Archive) -> None:
    """The checkpoint of a training that ended long ago is deleted."""
    tenant, job_id = _failed_long_ago(archive)
    with archive.of(tenant) as session:
        retention.tidy_tenant(session, tenant)
    assert archive.job(tenant, job_id).checkpoint_blob is None
    assert ("delete_blobs", {"prefix": "blob"}) in [(errand.kind, errand.payload) for errand in _due(archive)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_training_retried_meanwhile_keeps_its_checkpoint(archive: Archive) -> None:
    """A job that is being retried is passed by: no object is deleted that it would go on from."""
    tenant, job_id = _failed_long_ago(archive)
    with archive.api.transaction(tenant) as session:
        retries.retry(session, session.get_one(Job, (tenant, job_id)))
        with archive.of(tenant) as other:
            retention.tidy_tenant(other, tenant)
    assert archive.job(tenant, job_id).checkpoint_blob == "blob"
    assert [errand for errand in _due(archive) if errand.kind == "delete_blobs"] == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_checkpoint_on_its_way_out_is_not_gone_on_from(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is retried once its checkpoint was found to be over waits, and begins without it."""
    tenant, job_id = _failed_long_ago(archive)

    def retry() -> None:
        with archive.api.transaction(tenant) as session:
            retries.retry(session, session.get_one(Job, (tenant, job_id)))

    other, real = Thread(target=retry), outbox.add

    def add(session: Session, tenant_id: str, kind: str, payload: dict[str, Any], *rest: float) -> None:
        real(session, tenant_id, kind, payload, *rest)
        if kind == "delete_blobs":
            other.start()
            other.join(0.3)  # as far as it comes while nothing is committed

    monkeypatch.setattr(outbox, "add", add)
    with archive.of(tenant) as session:
        retention.tidy_tenant(session, tenant)
    other.join(20)
    job = archive.job(tenant, job_id)
    assert (job.state, job.checkpoint_blob, job.checkpoint_step) == ("queued", None, None)


def test_a_worker_reports_and_leaves(archive: Archive) -> None:
    """A worker that reports gets its orders; one that left, or was forgotten, is told to drain."""
    with archive.of(None) as session:
        row = workers.register(session, "cuda", "mini", {"base_digest": "b"})
        orders = workers.beat(session, row.id, "busy", {"base_digest": "b", "busy": 0.9})
        assert (orders.draining, list(orders.evictions)) == (False, [])
        assert session.get_one(Worker, row.id, populate_existing=True).state == "busy"
        workers.leave(session, row.id)
        assert workers.beat(session, row.id, "busy").draining


def _scheduled(archive: Archive, tenant: str, **days: int | None) -> int:
    """Give a tenant a schedule, and enforce it; return how many things were deleted."""
    with archive.api.transaction(None) as session:
        operators.change(session, tenant, **days)
    with archive.of(tenant) as session:
        return schedules.enforce(session, tenant)


def _expired(archive: Archive, tenant: str) -> list[tuple[str, str | None]]:
    """Return what the audit log says was deleted by the caretaker."""
    with archive.of(tenant) as session:
        found = select(AuditEvent).where(AuditEvent.actor == "housekeeping").order_by(AuditEvent.sequence)
        return [(event.action, event.target) for event in session.scalars(found)]


def test_a_schedule_shortens_old_results(archive: Archive) -> None:
    """What was to be kept for ever, or for longer, goes by the schedule; a result of another tenant stays."""
    tenant, other = archive.tenant(), archive.tenant()
    person = archive.person(tenant)
    rows = [archive.restoration(tenant, person, expires_in=seconds) for seconds in (None, 90 * 86_400, 3600)]
    theirs = archive.restoration(other, archive.person(other))
    for claim in archive.claim("restore", limit=4):
        archive.restore(claim)
    promised = archive.row(Restoration, tenant, rows[2].id).expires_at
    assert _scheduled(archive, tenant, restorations_days=30) == 0
    for row in rows[:2]:
        done = archive.row(Restoration, tenant, row.id)
        finished = archive.job(tenant, row.job_id).finished_at
        assert (done.expires_at - finished).total_seconds() == pytest.approx(30 * 86_400, abs=2)
    assert archive.row(Restoration, tenant, rows[2].id).expires_at == promised  # only ever shorter
    for whose in (tenant, other):
        _age(archive, whose, Job, finished_at=now(-31 * 86_400))
    assert _scheduled(archive, tenant, restorations_days=30) == 3
    assert _scheduled(archive, tenant, restorations_days=30) == 0
    gone = {("restoration.expired", row.id) for row in rows}
    assert set(_expired(archive, tenant)) == gone
    assert archive.row(Restoration, other, theirs.id).removed_at is None


def test_a_new_result_expires_by_the_schedule(archive: Archive) -> None:
    """The moment at which a result will go is known, and told, from the beginning."""
    tenant = archive.tenant(restorations_days=2)
    row = archive.restoration(tenant, archive.person(tenant))
    archive.restore(archive.claim("restore")[0])
    done = archive.row(Restoration, tenant, row.id)
    assert (done.expires_at - archive.job(tenant, row.job_id).finished_at).total_seconds() == pytest.approx(
        172_800, abs=2
    )


def test_uploads_by_the_schedule(archive: Archive) -> None:
    """An upload is kept for as many days as the schedule says, and for fewer when it says fewer."""
    tenant = archive.tenant(uploads_days=7)
    with archive.api.transaction(tenant) as session:
        row = uploads.add(session, archive.safe, tenant, picture("sent ahead"))
    assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(7 * 86_400, abs=2)
    _age(archive, tenant, Upload, created_at=now(-3 * 86_400))
    assert _scheduled(archive, tenant, uploads_days=4) == 0
    assert _scheduled(archive, tenant, uploads_days=2) == 1
    assert archive.row(Upload, tenant, row.id).blob is None
    assert _expired(archive, tenant) == [("upload.expired", row.id)]


@pytest.mark.parametrize("first", ["schedule", "errand"])
def test_two_at_one_upload_leave_one_event(archive: Archive, first: str) -> None:
    """An errand and the schedule, both at an upload that is over: who comes second passes it by, or finds it gone."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        row = uploads.add(session, archive.safe, tenant, picture("sent ahead"))
    _age(archive, tenant, Upload, expires_at=now(-60))
    found: list[int] = []

    def enforce(session: Session) -> None:
        found.append(schedules.enforce(session, tenant))

    def expire(session: Session) -> None:
        retention.expire(session, tenant, row.id)

    def in_turn(do: Callable[[Session], None]) -> None:
        with archive.of(tenant) as session:
            do(session)

    one, other = (enforce, expire) if first == "schedule" else (expire, enforce)
    second = Thread(target=in_turn, args=(other,))
    with archive.of(tenant) as session:
        one(session)
        second.start()
        second.join(0.3)  # as far as it comes while the first has not committed
    second.join(20)
    assert not second.is_alive()
    assert _expired(archive, tenant) == [("upload.expired", row.id)]
    assert found == [1 if first == "schedule" else 0]


def test_references_by_the_schedule(archive: Archive) -> None:
    """A photo goes when its days are over, but not from under a training; the adapter made of it stays."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    _age(archive, tenant, Reference, created_at=now(-11 * 86_400))
    assert _scheduled(archive, tenant, references_days=12) == 0
    assert _scheduled(archive, tenant, references_days=10) == 0
    publish(archive, archive.claim("train")[0])
    assert _scheduled(archive, tenant, references_days=10) == 1
    ((action, _),) = _expired(archive, tenant)
    assert action == "reference.expired"
    assert archive.row(Identity, tenant, person).state == "personalized"


def test_unused_adapters_by_the_schedule(archive: Archive) -> None:
    """An adapter goes when it was made, made active and restored with so long ago; one in use stays."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    adapter = publish(archive, archive.claim("train")[0])
    row = archive.restoration(tenant, person)
    archive.restore(archive.claim("restore")[0])
    _age(archive, tenant, Adapter, created_at=now(-9 * 86_400))
    assert _scheduled(archive, tenant, unused_adapters_days=8) == 0  # made active a moment ago
    _age(archive, tenant, Adapter, activated_at=now(-9 * 86_400))
    assert _scheduled(archive, tenant, unused_adapters_days=8) == 0  # restored with a moment ago
    _age(archive, tenant, Restoration, created_at=now(-9 * 86_400))
    assert _scheduled(archive, tenant, unused_adapters_days=8) == 1
    assert archive.row(Adapter, tenant, adapter.id).state == "deleted"
    assert archive.row(Restoration, tenant, row.id).removed_at is None


def test_unused_people_by_the_schedule(archive: Archive) -> None:
    """Somebody whom nobody came back to is erased, with a receipt to come; somebody in use stays."""
    tenant = archive.tenant()
    idle, busy = archive.person(tenant), archive.person(tenant)
    with archive.of(tenant) as session:
        session.execute(update(Identity).where(Identity.id == idle).values(last_active_at=now(-8 * 86_400)))
    assert _scheduled(archive, tenant, unused_identities_days=7) == 1
    assert archive.row(Identity, tenant, idle).state == "erasing"
    assert archive.row(Identity, tenant, busy).state == "ready"
    with archive.of(tenant) as session:
        assert session.scalars(select(Erasure.reason)).all() == ["retention"]


def test_no_schedule_keeps_everything(archive: Archive) -> None:
    """A tenant without a schedule keeps what is as old as it likes."""
    tenant = archive.tenant()
    archive.restoration(tenant, archive.person(tenant))
    archive.restore(archive.claim("restore")[0])
    old = now(-9999 * 86_400)
    for model, values in ((Reference, {"created_at": old}), (Identity, {"last_active_at": old})):
        _age(archive, tenant, model, **values)
    assert _scheduled(archive, tenant) == 0
