"""The ledger: who may change a job's state, and when nobody may any more."""

import pytest
from sqlalchemy import select, update

from store import ledger, models, queries, workers
from store.columns import now
from store.errors import Fenced, QueueFull, StateConflict
from tests.store.archive import Archive


def _lose(archive: Archive, job_id: str, tenant_id: str) -> None:
    """Let a job's lease run out."""
    with archive.of(None) as session:
        lost = update(models.Job).where(models.Job.tenant_id == tenant_id, models.Job.id == job_id)
        session.execute(lost.values(lease_until=now(-1)))


def _silence(archive: Archive) -> None:
    """Let the worker have been silent for a minute."""
    with archive.of(None) as session:
        session.execute(update(models.Worker).values(last_seen_at=now(-60)))


def _sweep(archive: Archive) -> ledger.Swept:
    with archive.of(None) as session:
        return ledger.sweep(session)


def _requeued_now(archive: Archive) -> None:
    """Let the pause after a strike be over."""
    with archive.of(None) as session:
        session.execute(update(models.Job).values(not_before=None))


def test_a_job_runs_and_succeeds(archive: Archive) -> None:
    """A queued job is claimed once, reported, and ends with its events in order."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    claim = archive.claim()[0]
    assert (claim.kind, claim.lease.job_id, claim.lease.epoch, claim.attempt) == ("train", job_id, 1, 1)
    assert archive.claim() == []
    with archive.of(None) as session:
        ledger.progress(session, claim.lease, "training", 3, 10)
        ledger.succeed(session, claim.lease, {"compute_seconds": 4.0})
    job = archive.job(tenant, job_id)
    assert (job.state, job.progress) == ("succeeded", {"phase": "training", "step": 3, "total": 10})
    assert job.finished_at is not None
    with archive.of(tenant) as session:
        events = [(event.sequence, event.type) for event in queries.job_events(session, tenant, job_id, 0)]
    assert events == [(1, "queued"), (2, "started"), (3, "progress"), (4, "succeeded")]


def test_a_stale_worker_writes_nothing(archive: Archive) -> None:
    """Once a job is another's, everything that its first worker still writes is refused."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    stale = archive.claim()[0].lease
    _lose(archive, job_id, tenant)
    assert _sweep(archive).requeued == [job_id]
    fresh = archive.claim()[0].lease
    assert (stale.epoch, fresh.epoch) == (1, 2)
    writes = [
        lambda s: ledger.progress(s, stale, "training", 1, 2),
        lambda s: ledger.checkpoint(s, stale, "blob", 1),
        lambda s: ledger.succeed(s, stale, {}),
        lambda s: ledger.fail(s, stale, "internal", "it broke"),
        lambda s: ledger.canceled(s, stale),
        lambda s: ledger.release(s, stale),
    ]
    for write in writes:
        with pytest.raises(Fenced), archive.of(None) as session:
            write(session)
    with archive.of(None) as session:
        assert ledger.heartbeat(session, [stale, fresh]) == {job_id: "go"} | {stale.job_id: "go"}
        assert ledger.heartbeat(session, [stale]) == {job_id: "lost"}


def test_cancel_of_a_waiting_job_is_at_once(archive: Archive) -> None:
    """A job that waits is canceled there and then; a second cancel changes nothing."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    with archive.api.transaction(tenant) as session:
        job = session.get_one(models.Job, {"tenant_id": tenant, "id": job_id})
        assert ledger.cancel(session, job).state == "canceled"
        assert ledger.cancel(session, job).state == "canceled"
    assert archive.claim() == []


def test_cancel_of_a_running_job_asks_its_worker(archive: Archive) -> None:
    """A job that runs is told to stop at the next heartbeat, can succeed no more, and is canceled by its worker."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    lease = archive.claim()[0].lease
    with archive.api.transaction(tenant) as session:
        job = session.get_one(models.Job, {"tenant_id": tenant, "id": job_id})
        assert ledger.cancel(session, job).state == "canceling"
    with archive.of(None) as session:
        assert ledger.heartbeat(session, [lease]) == {job_id: "stop"}
    with pytest.raises(Fenced), archive.of(None) as session:
        ledger.succeed(session, lease, {})
    with archive.of(None) as session:
        assert ledger.canceled(session, lease).state == "canceled"


def test_what_has_ended_stays_ended(archive: Archive) -> None:
    """A job that has succeeded can neither be canceled nor retried."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    lease = archive.claim()[0].lease
    with archive.of(None) as session:
        ledger.succeed(session, lease, {})
    for change in (ledger.cancel, ledger.retry):
        with pytest.raises(StateConflict, match="succeeded"), archive.api.transaction(tenant) as session:
            change(session, session.get_one(models.Job, {"tenant_id": tenant, "id": job_id}))


def test_three_strikes_without_a_checkpoint(archive: Archive) -> None:
    """A job whose workers die three times without a word fails as worker_lost, and may be retried."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    for strike in (1, 2, 3):
        archive.claim()
        _silence(archive)
        _lose(archive, job_id, tenant)
        swept = _sweep(archive)
        assert (swept.requeued, swept.failed) == (([job_id], []) if strike < 3 else ([], [job_id]))
        _requeued_now(archive)
    job = archive.job(tenant, job_id)
    assert job.error is not None
    assert (job.state, job.error["code"], job.error["retryable"]) == ("failed", "worker_lost", True)
    with archive.api.transaction(tenant) as session:
        again = ledger.retry(session, session.get_one(models.Job, {"tenant_id": tenant, "id": job_id}))
        assert (again.state, again.strikes, again.error) == ("queued", 0, None)


def test_a_moving_checkpoint_takes_strikes_back(archive: Archive) -> None:
    """A training that gets further under each lease is never poison, however often its workers die."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    for step in range(1, 6):
        claim = archive.claim()[0]
        assert claim.checkpoint_step == (step - 1 or None)
        with archive.of(None) as session:
            before = ledger.checkpoint(session, claim.lease, f"blob {step}", step)
            assert before == (f"blob {step - 1}" if step > 1 else None)
        _silence(archive)
        _lose(archive, job_id, tenant)
        assert _sweep(archive).requeued == [job_id]
        _requeued_now(archive)
    assert archive.job(tenant, job_id).strikes == 1


def test_a_worker_that_lives_is_not_to_blame(archive: Archive) -> None:
    """A lease lost by a worker that still reports is no strike; one that reports later has its strike forgiven."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    lease = archive.claim()[0].lease
    _lose(archive, job_id, tenant)
    with archive.of(None) as session:
        workers.beat(session, archive.worker_id, "busy")
    _sweep(archive)
    assert archive.job(tenant, job_id).strikes == 0
    lease = archive.claim()[0].lease
    _silence(archive)
    _lose(archive, job_id, tenant)
    _sweep(archive)
    assert archive.job(tenant, job_id).strikes == 1
    with archive.of(None) as session:
        assert ledger.heartbeat(session, [lease]) == {job_id: "lost"}
    assert archive.job(tenant, job_id).strikes == 0


def test_a_strike_is_forgiven_to_whom_it_was_given(archive: Archive) -> None:
    """A later worker that was merely slow takes back no strike that an earlier one's silence gave."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    archive.claim()
    _silence(archive)
    _lose(archive, job_id, tenant)
    _sweep(archive)
    _requeued_now(archive)
    slow = archive.claim()[0].lease
    _lose(archive, job_id, tenant)
    with archive.of(None) as session:
        workers.beat(session, archive.worker_id, "busy")
    _sweep(archive)
    with archive.of(None) as session:
        assert ledger.heartbeat(session, [slow]) == {job_id: "lost"}
    assert archive.job(tenant, job_id).strikes == 1


def test_a_released_job_waits_again_unharmed(archive: Archive) -> None:
    """A worker that is drained gives its job back without a strike."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    lease = archive.claim()[0].lease
    with archive.of(None) as session:
        ledger.release(session, lease)
    job = archive.job(tenant, job_id)
    assert (job.state, job.strikes, job.worker_id) == ("queued", 0, None)
    assert archive.claim()[0].lease.epoch == 2


def test_a_deadline_ends_what_has_not_started(archive: Archive) -> None:
    """A job that waits past its deadline is not claimed any more, and expires at the next sweep."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant), deadline_seconds=3600)
    with archive.of(None) as session:
        session.execute(update(models.Job).where(models.Job.id == job_id).values(deadline_at=now(-1)))
    assert archive.claim() == []
    assert _sweep(archive).expired == [job_id]
    assert archive.job(tenant, job_id).state == "expired"


@pytest.mark.parametrize("dies", [False, True])
def test_a_deadline_ends_nothing_that_has_started(archive: Archive, dies: bool) -> None:
    """A job that ran in time, whose worker is drained or dies after the deadline, goes on at the next worker."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant), deadline_seconds=3600)
    lease = archive.claim()[0].lease
    with archive.of(None) as session:
        session.execute(update(models.Job).where(models.Job.id == job_id).values(deadline_at=now(-1)))
        if not dies:
            ledger.release(session, lease)
    if dies:
        _lose(archive, job_id, tenant)
    assert _sweep(archive).requeued == [job_id] * dies
    assert _sweep(archive).expired == []
    _requeued_now(archive)
    assert archive.claim()[0].lease.epoch == 2


def test_a_canceled_job_of_a_dead_worker_ends(archive: Archive) -> None:
    """A job that was to stop ends as canceled when its worker never answers."""
    tenant = archive.tenant()
    job_id = archive.training(tenant, archive.person(tenant))
    archive.claim()
    with archive.api.transaction(tenant) as session:
        ledger.cancel(session, session.get_one(models.Job, {"tenant_id": tenant, "id": job_id}))
    _lose(archive, job_id, tenant)
    assert _sweep(archive).canceled == [job_id]


def test_a_failure_says_why_and_is_told(archive: Archive) -> None:
    """A failed job carries its reason; the outbox tells the webhooks; its time is counted as used."""
    tenant = archive.tenant()
    archive.training(tenant, archive.person(tenant))
    lease = archive.claim()[0].lease
    with archive.of(None) as session:
        job = ledger.fail(session, lease, "out_of_memory", "got 2 GB", True, {"compute_seconds": 3.0})
        assert job.error == {"code": "out_of_memory", "detail": "got 2 GB", "retryable": True}
    with archive.of(None) as session:
        told = [row.payload["type"] for row in session.scalars(select(models.OutboxEvent)) if row.kind == "webhook"]
    assert "job.failed" in told
    with archive.of(tenant) as session:
        used = {row.kind: row.compute_seconds for row in session.scalars(select(models.UsageRecord))}
    assert used == {"assess": 0.5, "train": 3.0}


def test_a_full_queue_takes_no_more(archive: Archive) -> None:
    """A tenant may have only so many jobs waiting."""
    tenant = archive.tenant(max_queued_jobs=1)
    person = archive.person(tenant)
    archive.restoration(tenant, person)
    with pytest.raises(QueueFull, match="at most 1"):
        archive.restoration(tenant, person)


def test_lost_bells_are_found(archive: Archive) -> None:
    """The kinds of jobs that have waited for a while are named, so that they are rung for again."""
    tenant = archive.tenant()
    archive.training(tenant, archive.person(tenant))
    with archive.of(None) as session:
        assert ledger.unheard(session, 60) == set()
        assert ledger.unheard(session, -1) == {"train"}
        assert ledger.waiting(session, ["train"])
        assert not ledger.waiting(session, ["assess", "restore"])
