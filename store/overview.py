"""How the whole installation is doing: what waits, who works, what failed. For operators and for metrics."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from store import ids
from store.columns import age
from store.database import acting_as
from store.job_models import HELD, LANES, Job, OutboxEvent, TenantShare, Worker
from store.models import Tenant
from store.workers import LOST_AFTER_SECONDS

RECENT_SECONDS = 600.0
"""Of how far back the waits are that are told: long enough for a few jobs, short enough to show a change."""
HOUR_SECONDS = 3600.0
_SAMPLE = 2000
_LISTED = 50
Shown = dict[str, Any]


def tenants(session: Session) -> Sequence[Shown]:
    """Return the tenants that have jobs: how many wait and run, and how long the first has waited, longest first."""
    waits = case((Job.state == "queued", 1))
    oldest = func.max(case((Job.state == "queued", age(Job.queued_at))))
    found = (
        select(Tenant.id, Tenant.name, TenantShare.weight, TenantShare.suspended, TenantShare.max_running_jobs)
        .add_columns(func.count(waits), func.count(case((Job.state.in_(HELD), 1))), oldest)
        .join(Job, Job.tenant_id == Tenant.id)
        .join(TenantShare, TenantShare.tenant_id == Tenant.id)
        .where(Job.state.in_(("queued", *HELD)))
        .group_by(Tenant.id, Tenant.name, TenantShare.weight, TenantShare.suspended, TenantShare.max_running_jobs)
    )
    names = ("id", "name", "weight", "suspended", "max_running_jobs", "queued", "running", "oldest_age_seconds")
    with acting_as(session, "operator"):
        rows = [dict(zip(names, row, strict=True)) for row in session.execute(found)]
    return sorted(rows, key=lambda row: -(row["oldest_age_seconds"] or 0.0))[:_LISTED]


def first_waiting(session: Session) -> Shown | None:
    """Return the job that has waited longest, or None."""
    found = select(Job, age(Job.queued_at)).where(Job.state == "queued").order_by(Job.queued_at, Job.id).limit(1)
    with acting_as(session, "operator"):
        row = session.execute(found).one_or_none()
    if row is None:
        return None
    job, seconds = row
    named = {name: getattr(job, name) for name in ("id", "tenant_id", "kind", "attempt", "not_before")}
    return {**named, "age_seconds": seconds}


def workers(session: Session) -> Sequence[Shown]:
    """Return the worker processes, the latest heard of first, each with the jobs that it holds."""
    at_work = select(Job, age(Job.started_at)).where(Job.state.in_(HELD)).order_by(Job.id)
    there = select(Worker, age(Worker.last_seen_at)).order_by(Worker.last_seen_at.desc())
    with acting_as(session, "operator"):
        jobs = session.execute(at_work).all()
        rows = session.execute(there).all()
    return [
        _worker(worker, silent, [pair for pair in jobs if pair[0].worker_id == worker.id]) for worker, silent in rows
    ]


def _worker(row: Worker, silent: float, jobs: Sequence[Any]) -> Shown:
    does = [
        {"id": job.id, "kind": job.kind, "state": job.state, "seconds": seconds, "progress": job.progress}
        for job, seconds in jobs
    ]
    return {
        "id": row.id, "host": row.details.get("host"), "device": row.device, "bundle": row.bundle,
        "state": "silent" if silent > LOST_AFTER_SECONDS else "draining" if row.draining else row.state,
        "silent_seconds": silent, "jobs": does,
    }  # fmt: skip


def worker_states(session: Session) -> Mapping[str, int]:
    """Return how many of the workers that were heard of lately are idle, busy or draining."""
    counts = {"idle": 0, "busy": 0, "draining": 0}
    state = case((Worker.draining, "draining"), else_=Worker.state)
    found = select(state, func.count()).where(age(Worker.last_seen_at) < LOST_AFTER_SECONDS).group_by(state)
    with acting_as(session, "operator"):
        return counts | {str(state): count for state, count in session.execute(found)}


def failures(session: Session, seconds: float = HOUR_SECONDS) -> Sequence[Shown]:
    """Return how many jobs failed lately, by lane and code, the most frequent first."""
    code = Job.error["code"].as_string()
    found = (
        select(Job.kind, code, func.count(), func.max(Job.id))
        .where(Job.state == "failed", age(Job.finished_at) < seconds)
        .group_by(Job.kind, code)
    )
    with acting_as(session, "operator"):
        rows = session.execute(found).all()
    names = ("kind", "code", "count", "latest_job_id")
    return sorted((dict(zip(names, row, strict=True)) for row in rows), key=lambda row: -row["count"])


def waits(session: Session) -> Mapping[str, Sequence[float]]:
    """Return, for each lane, how many seconds each of the jobs queued lately waited for a worker, in order."""
    waited = age(Job.queued_at) - age(Job.started_at)
    since = ids.first_id("job", time.time() - RECENT_SECONDS)  # ids sort by time, and have an index of their own
    found = select(Job.kind, waited).where(Job.id > since, Job.started_at >= Job.queued_at)
    with acting_as(session, "operator"):
        rows = session.execute(found.order_by(Job.id.desc()).limit(_SAMPLE)).all()
    return {lane: sorted(seconds for kind, seconds in rows if kind == lane) for lane in LANES}


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which so great a share of ordered values lies; None where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def errands(session: Session) -> Shown:
    """Return how many errands are due and for how long the first has been: as the ledger's role, which sees them."""
    overdue = age(OutboxEvent.available_at)
    count, oldest = session.execute(select(func.count(), func.max(overdue)).where(overdue > 0)).one()
    return {"due": count, "oldest_seconds": oldest}
