"""The ledger: every change of a job's state, each one guarded by the state before and fenced by the lease.

A worker's lease is a number on the job's row; whoever holds an older one can write nothing any more. Times are the
database's own.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from store import outbox, quotas, ranking
from store.columns import age, now
from store.database import act_for
from store.errors import Fenced, QueueFull, StateConflict
from store.job_models import HELD, LANES, LIVE, Job, JobEvent, TenantShare, Worker
from store.leases import Claim as Claim
from store.leases import Lease as Lease
from store.leases import Swept as Swept
from store.leases import Word as Word
from store.models import UsageRecord

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = 5.0
STRIKES = 3
_UNWATCHED = {"synchronize_session": False}

# --- by the front desk -------------------------------------------------------------------------------------------


def enqueue(session: Session, job: Job, deadline_seconds: float | None = None) -> Job:
    """Queue a new job of the transaction's tenant; QueueFull where it has as many waiting as it may have."""
    _require_place(session, job.tenant_id)
    job.virtual_floor = ranking.lane_clock(job.kind)
    job.deadline_at = None if deadline_seconds is None else now(deadline_seconds)
    job.last_sequence = 1
    session.add(job)
    session.flush()
    session.refresh(job)
    _event(session, job, "queued", {})
    return job


def cancel(session: Session, job: Job) -> Job:
    """Cancel a job that waits, ask the worker of one that runs to stop; StateConflict where it has ended otherwise."""
    if job.state in ("canceling", "canceled"):
        return job
    values = {"state": _when(queued="canceled", running="canceling"), "finished_at": _now_if("queued")}
    changed = _change(session, _key(job), Job.state.in_(("queued", "running")), values)
    if changed is None:
        session.refresh(job)
        if job.state in ("canceling", "canceled"):  # by somebody else, at this very moment
            return job
        raise StateConflict(f"got a cancel for a job that is {job.state}, wanted one that is queued or running")
    _told(session, changed)
    return changed


def stop(session: Session, tenant_id: str, job_id: str | None) -> None:
    """Cancel a job, if there is one that has not ended: what it is for is to go."""
    job = session.get(Job, (tenant_id, job_id), populate_existing=True) if job_id else None
    if job is not None and job.state in LIVE:
        with suppress(StateConflict):  # it has ended at this very moment
            cancel(session, job)


def retry(session: Session, job: Job) -> Job:
    """Queue a job again that has failed, was canceled, or expired; a training goes on from its checkpoint."""
    if job.state in LIVE:  # when it was looked up: if it has ended since, nobody has asked whether it may be done again
        raise _not_over(job)
    _require_place(session, job.tenant_id)
    values = {
        "state": "queued", "strikes": 0, "strike_epoch": None, "error": None, "progress": None, "finished_at": None,
        "deadline_at": None, "not_before": None, "worker_id": None, "queued_at": now(),
        "virtual_floor": ranking.lane_clock(job.kind),
    }  # fmt: skip
    changed = _change(session, _key(job), Job.state.in_(("failed", "canceled", "expired")), values)
    if changed is None:
        session.refresh(job)
        raise _not_over(job)
    _event(session, changed, "queued", {"retried": True})
    return changed


def _not_over(job: Job) -> StateConflict:
    return StateConflict(f"got a retry of a job that is {job.state}, wanted one that failed, was canceled or expired")


def _require_place(session: Session, tenant_id: str) -> None:
    share = session.get(TenantShare, tenant_id)
    if share is None or share.max_queued_jobs is None:
        return
    waiting = select(func.count()).where(Job.tenant_id == tenant_id, Job.state == "queued")
    if not quotas.has_room(session, tenant_id, waiting, share.max_queued_jobs):
        raise QueueFull(f"got a job more than may wait, wanted at most {share.max_queued_jobs}; try later")


# --- by a worker -------------------------------------------------------------------------------------------------


def claim(
    session: Session, worker_id: str, kinds: Sequence[str] = LANES, limit: int = 1, warm: Sequence[str] = ()
) -> list[Claim]:
    """Take the next job, and up to limit - 1 more that may share its batch."""
    parameters = {**ranking.wanted(kinds, limit, warm), "claimed_by": worker_id}
    jobs = sorted(session.scalars(_claiming(), parameters), key=lambda job: (job.queued_at, job.id))
    session.add_all(_numbered(job, "started", {"attempt": job.attempt}) for job in jobs)
    session.flush()
    kept = _within_quotas(session, jobs)
    ranking.charge(session, kept)
    return [_claimed(job) for job in kept]


def waiting(session: Session, kinds: Sequence[str]) -> bool:
    """Whether a job of these kinds could start."""
    return bool(session.scalar(select(exists().where(ranking.startable(), Job.kind.in_(kinds)))))


def heartbeat(session: Session, leases: Sequence[Lease]) -> dict[str, Word]:
    """Renew leases; say of each job whether to go on, to stop, or that the lease is lost."""
    words: dict[str, Word] = {}
    for lease in sorted(leases, key=lambda lease: lease.job_id):
        changed = session.execute(
            update(Job)
            .where(_held_by(lease), Job.state.in_(HELD))
            .values(lease_until=now(LEASE_SECONDS))
            .returning(Job.state)
            .execution_options(**_UNWATCHED)
        ).scalar()
        words[lease.job_id] = "lost" if changed is None else "go" if changed == "running" else "stop"
        if changed is None:
            _forgive(session, lease)
    return words


def progress(session: Session, lease: Lease, phase: str, step: int, total: int, **figures: float) -> None:
    """Say how far a job is, and into its event what it measures on the way, such as a training's loss."""
    how_far = {"phase": phase, "step": step, "total": total}
    _event(session, _fenced(session, lease, {"progress": how_far}), "progress", how_far | figures)


def checkpoint(session: Session, lease: Lease, blob: str, step: int) -> str | None:
    """Point a job to its newest checkpoint; return the one before, which nobody needs any more."""
    before = session.scalar(select(Job.checkpoint_blob).where(_held_by(lease)))
    values = {"checkpoint_blob": blob, "checkpoint_epoch": lease.epoch, "checkpoint_step": step}
    _event(session, _fenced(session, lease, values), "checkpoint", {"step": step})
    return before


def succeed(session: Session, lease: Lease, metrics: Mapping[str, float]) -> Job:
    """End a job well; its results are written in the same transaction, so that a stale worker publishes nothing."""
    act_for(session, lease.tenant_id)
    values = {"state": "succeeded", "finished_at": now(), "metrics": dict(metrics), "error": None, "lease_until": None}
    job = _fenced(session, lease, values)
    _told(session, job)
    _use(session, job, metrics)
    return job


def fail(
    session: Session,
    lease: Lease,
    code: str,
    detail: str,
    retryable: bool = False,
    metrics: Mapping[str, float] | None = None,
) -> Job:
    """End a job badly, and say why; one that was to stop anyway is canceled."""
    act_for(session, lease.tenant_id)
    values = {
        "state": _when(running="failed", canceling="canceled"),
        "error": {"code": code, "detail": detail, "retryable": retryable},
        "metrics": dict(metrics or {}), "finished_at": now(), "lease_until": None,
    }  # fmt: skip
    job = _fenced(session, lease, values, HELD)
    _told(session, job)
    _use(session, job, metrics or {})
    return job


def canceled(session: Session, lease: Lease, metrics: Mapping[str, float] | None = None) -> Job:
    """End a job that was told to stop."""
    act_for(session, lease.tenant_id)
    values = {"state": "canceled", "finished_at": now(), "metrics": dict(metrics or {}), "lease_until": None}
    job = _fenced(session, lease, values, ("canceling",))
    _told(session, job)
    _use(session, job, metrics or {})
    return job


def release(session: Session, lease: Lease) -> None:
    """Give a job back unharmed: this worker is drained, or cannot go on."""
    _told(session, _fenced(session, lease, _given_back(), HELD))


def make_good(session: Session, lease: Lease) -> None:
    """Give back a job whose end could not be written; where its lease is over, take back the strike for it."""
    job = _change(session, _held_by(lease), Job.state.in_(HELD), _given_back())
    if job is None:
        _forgive(session, lease)
    else:
        _told(session, job)


# --- by housekeeping ---------------------------------------------------------------------------------------------


def sweep(session: Session) -> Swept:
    """Requeue or fail what lost its worker, end what was to be canceled, and expire what is too late to start."""
    late = and_(Job.state == "queued", Job.attempt == 0, Job.deadline_at <= now())
    lost = and_(Job.state.in_(HELD), Job.lease_until < now())
    swept = Swept([], [], [], [])
    for job in _locked(session, or_(late, lost)):
        changed = _change(session, _key(job), Job.state == job.state, _swept_values(session, job))
        if changed is not None:
            _told(session, changed)
            lists = {"queued": swept.requeued, "failed": swept.failed, "canceled": swept.canceled}
            lists.get(changed.state, swept.expired).append(changed.id)
    return swept


def unheard(session: Session, seconds: float = 1.0) -> set[str]:
    """Return the kinds of jobs that have waited for so long: their bell may have been lost."""
    return set(session.scalars(select(Job.kind).where(ranking.startable(), age(Job.queued_at) > seconds).distinct()))


def _swept_values(session: Session, job: Job) -> dict[str, Any]:
    if job.state == "queued":
        error = {"code": "deadline", "detail": "got no free worker before the deadline, wanted one", "retryable": True}
        return {"state": "expired", "finished_at": now(), "error": error}
    if job.state == "canceling":
        return {"state": "canceled", "finished_at": now(), "lease_until": None}
    strikes, epoch = job.strikes, job.strike_epoch
    if not _alive(session, job):
        strikes, epoch = 1 if job.checkpoint_epoch == job.lease_epoch else job.strikes + 1, job.lease_epoch
    blame = {"strikes": strikes, "strike_epoch": epoch, "lease_until": None, "worker_id": None}
    if strikes < STRIKES:
        return {**blame, "state": "queued", "not_before": now(0.0 if strikes == job.strikes else strikes - 1)}
    detail = f"got {strikes} workers that stopped without a word while they ran this; wanted one that ends it; retry it"
    error = {"code": "worker_lost", "detail": detail, "retryable": True}
    return {**blame, "state": "failed", "finished_at": now(), "error": error}


def _alive(session: Session, job: Job) -> bool:
    """Whether the worker has reported since its lease ended: then it was slow or fenced off, and is not to blame."""
    seen = select(exists().where(Worker.id == job.worker_id, Worker.last_seen_at > job.lease_until))
    return bool(session.scalar(seen))


def _given_back() -> dict[str, Any]:
    ended = {"finished_at": _now_if("canceling"), "worker_id": None, "lease_until": None}
    return {"state": _when(running="queued", canceling="canceled"), **ended}


def _forgive(session: Session, lease: Lease) -> None:
    """Take back the strike for this lease: its worker is alive after all."""
    session.execute(
        update(Job)
        .where(Job.tenant_id == lease.tenant_id, Job.id == lease.job_id, Job.strike_epoch == lease.epoch)
        .where(Job.strikes > 0, Job.state.in_(LIVE))
        .values(strikes=Job.strikes - 1, strike_epoch=None)
        .execution_options(**_UNWATCHED)
    )


# --- how a row changes -------------------------------------------------------------------------------------------


@lru_cache
def _claiming() -> ReturningUpdate[Any]:
    """Return the statement that claims; it is long, so it is put together once."""
    locked = ranking.next_jobs()
    return (
        update(Job)
        .where(Job.tenant_id == locked.c.tenant_id, Job.id == locked.c.id, Job.state == "queued")
        .values(
            state="running",
            worker_id=bindparam("claimed_by"),
            lease_epoch=Job.lease_epoch + 1,
            lease_until=now(LEASE_SECONDS),
            attempt=Job.attempt + 1,
            started_at=func.coalesce(Job.started_at, now()),
            virtual_start=locked.c.base,
            last_sequence=Job.last_sequence + 1,
        )
        .returning(Job)
        .execution_options(populate_existing=True, **_UNWATCHED)
    )


def _within_quotas(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """Give back what concurrent claimers took beyond a tenant's quota: exact, since the share's row is locked."""
    kept, limit = list(jobs), TenantShare.max_running_jobs
    if not jobs:
        return kept
    shares = select(TenantShare.tenant_id, limit).where(limit.is_not(None)).order_by(TenantShare.tenant_id)
    limited = shares.where(TenantShare.tenant_id.in_({job.tenant_id for job in jobs})).with_for_update()
    for tenant_id, most in session.execute(limited).all():
        count = select(func.count()).where(Job.tenant_id == tenant_id, Job.state.in_(HELD))
        over = (session.scalar(count) or 0) - (most or 0)
        mine = [job for job in kept if job.tenant_id == tenant_id]
        for job in mine[max(0, len(mine) - max(0, over)) :]:
            values = {"state": "queued", "attempt": Job.attempt - 1, "worker_id": None, "lease_until": None}
            given_back = _change(session, _key(job), Job.state == "running", values)
            if given_back is not None:
                _event(session, given_back, "queued", {})
            kept.remove(job)
    return kept


def _claimed(job: Job) -> Claim:
    lease = Lease(job.tenant_id, job.id, job.lease_epoch, job.worker_id or "")
    return Claim(
        lease, job.kind, job.identity_id, job.restoration_id, job.adapter_id, job.reference_id, job.options,
        job.attempt, job.checkpoint_blob, job.checkpoint_step,
    )  # fmt: skip


def _locked(session: Session, condition: ColumnElement[bool]) -> Sequence[Job]:
    return session.scalars(select(Job).where(condition).order_by(Job.id).with_for_update(skip_locked=True)).all()


def _held_by(lease: Lease) -> ColumnElement[bool]:
    """Return what selects a job under a lease; a database set back to a backup may give a number out twice."""
    mine = and_(Job.lease_epoch == lease.epoch, Job.worker_id == lease.worker_id)
    return and_(Job.tenant_id == lease.tenant_id, Job.id == lease.job_id, mine)


def _key(job: Job) -> ColumnElement[bool]:
    return and_(Job.tenant_id == job.tenant_id, Job.id == job.id)


def _when(**states: str) -> ColumnElement[str]:
    """Return the state that follows, by the state before."""
    return case(states, value=Job.state)


def _now_if(state: str) -> ColumnElement[Any]:
    """Return now for a job in this state, nothing for others."""
    return case((Job.state == state, now()))


def _fenced(session: Session, lease: Lease, values: Mapping[str, Any], states: Sequence[str] = ("running",)) -> Job:
    job = _change(session, _held_by(lease), Job.state.in_(states), values)
    if job is None:
        raise Fenced(
            f"got a write under lease {lease.epoch} of {lease.job_id}, which is over or to stop; wanted the live one; "
            "drop what was done"
        )
    return job


def _change(
    session: Session, key: ColumnElement[bool], state: ColumnElement[bool], values: Mapping[str, Any]
) -> Job | None:
    """Change a row if it is in the state it was thought to be in, and number what happened."""
    session.flush()
    statement = (
        update(Job)
        .where(key, state)
        .values(**values, last_sequence=Job.last_sequence + 1)
        .returning(Job)
        .execution_options(populate_existing=True, **_UNWATCHED)
    )
    return session.scalars(statement).one_or_none()


def _event(session: Session, job: Job, kind: str, data: Mapping[str, Any]) -> None:
    session.add(_numbered(job, kind, data))
    session.flush()


def _numbered(job: Job, kind: str, data: Mapping[str, Any]) -> JobEvent:
    return JobEvent(tenant_id=job.tenant_id, job_id=job.id, sequence=job.last_sequence, type=kind, data=dict(data))


def _told(session: Session, job: Job) -> None:
    """Write what became of a job into its events, and tell the webhooks when it has ended."""
    data = {"error": job.error} if job.error else {}
    _event(session, job, job.state, data)
    if job.state in LIVE:
        return
    names = ("identity_id", "restoration_id", "adapter_id", "reference_id")
    about = {name: getattr(job, name) for name in names if getattr(job, name)}
    payload = {"type": f"job.{job.state}", "data": {"job_id": job.id, "kind": job.kind, **about, **data}}
    outbox.add(session, job.tenant_id, "webhook", payload)


def _use(session: Session, job: Job, metrics: Mapping[str, float]) -> None:
    seconds = float(metrics.get("compute_seconds", 0.0))
    session.add(UsageRecord(tenant_id=job.tenant_id, kind=job.kind, job_id=job.id, compute_seconds=seconds))
    session.flush()
