"""Which job is next: lanes first, then weighted fair shares (start-time fair queueing), then who came first.

A job's virtual start is its tenant's virtual time in the lane, or the lane's own when the job was queued, if that is
later: who was idle has saved nothing up. A claim moves the tenant's virtual time on by 1 / weight.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double

from store.columns import age, now
from store.job_models import BATCHED, HELD, LANES, Job, TenantLane, TenantShare

PATIENCE_SECONDS = 60.0
"""How long a training waits behind other jobs while nobody is being trained."""
LOOK_AHEAD = 64
"""How many of each tenant's waiting jobs are looked at, so that a long queue costs no more than a short one."""
AMONG = 128
"""Among how many of the first jobs one is looked for that nobody else is just claiming."""
WARM_AHEAD = 4.0
"""By how many of its tenant's jobs one with a warm adapter may go early: bounded, so that nobody starves."""


class lane_clock(FunctionElement[float]):
    """The virtual time of a lane: that of the last job claimed, of whatever tenant."""

    type = Double()
    inherit_cache = True
    name = "lane_clock"


@compiles(lane_clock, "sqlite")
def _clock_sqlite(element: lane_clock, compiler: SQLCompiler, **kw: Any) -> str:
    kind = compiler.process(element.clauses, **kw)
    return f"(SELECT coalesce(max(virtual_start), 0.0) FROM jobs WHERE kind = {kind})"


@compiles(lane_clock, "postgresql")
def _clock_postgresql(element: lane_clock, compiler: SQLCompiler, **kw: Any) -> str:
    return f"idprefer_lane_clock({compiler.process(element.clauses, **kw)})"


def startable() -> ColumnElement[bool]:
    """What makes a queued job one that may start now."""
    return and_(
        Job.state == "queued",
        or_(Job.not_before.is_(None), Job.not_before <= now()),
        or_(Job.deadline_at.is_(None), Job.deadline_at > now()),
    )


def next_jobs() -> CTE:
    """Return a CTE of the next job's key and of those that may share its batch, locked; others' locks are skipped.

    Beside each stands its tenant's virtual time. Its parameters are `wanted`'s.
    """
    ranked = _ranked().cte("ranked").prefix_with("MATERIALIZED")  # once for both
    first = _locked(ranked, ranked.c.place <= AMONG).limit(1).cte("first").prefix_with("MATERIALIZED")
    fits = (ranked.c.kind == first.c.kind, ranked.c.batch_key == first.c.batch_key, ranked.c.id != first.c.id)
    more: BindParameter[int] = bindparam("more", type_=Integer)
    rest = _locked(ranked, ranked.c.kind.in_(BATCHED), *fits).limit(more).cte("rest").prefix_with("MATERIALIZED")
    return union_all(select(first), select(rest)).cte("locked")


def _locked(ranked: CTE, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Select ranked jobs that are still queued, the next one first, and lock them."""
    job, c = aliased(Job), ranked.c
    return (
        select(job.tenant_id, job.id, c.kind, c.batch_key, c.base)
        .join(ranked, and_(job.tenant_id == c.tenant_id, job.id == c.id))
        .where(job.state == "queued", *conditions)
        .order_by(c.place)
        .with_for_update(skip_locked=True, of=job)
    )


def wanted(kinds: Sequence[str], most: int, warm: Sequence[str]) -> dict[str, Any]:
    """Return `next_jobs`' parameters: of which kinds, how many at most, which adapters are warm."""
    return {"wanted_kinds": list(kinds), "more": most - 1, "warm": list(warm)}


def charge(session: Session, jobs: Sequence[Job]) -> None:
    """Move each tenant's virtual time on by what it got, divided by its weight."""
    bases: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        bases[job.tenant_id].append(job.virtual_start or 0.0)
    rows = [
        {"whose": tenant_id, "lane": jobs[0].kind, "base": max(bases[tenant_id]), "count": len(bases[tenant_id])}
        for tenant_id in sorted(bases)  # always in this order: nobody waits in a circle
    ]
    if rows:
        session.connection().execute(_charging(), rows)


@lru_cache
def _charging() -> Update:
    base: BindParameter[float] = bindparam("base", type_=Double)
    count: BindParameter[float] = bindparam("count", type_=Double)
    lane = cast(Table, TenantLane.__table__)
    weight = select(TenantShare.weight).where(TenantShare.tenant_id == bindparam("whose")).scalar_subquery()
    later = case((lane.c.virtual_time > base, lane.c.virtual_time), else_=base)
    return (
        update(lane)
        .where(lane.c.tenant_id == bindparam("whose"), lane.c.kind == bindparam("lane"))
        .values(virtual_time=later + count / weight)
    )


def _ranked() -> Select[Any]:
    candidates = _candidates().cte("candidates")
    c = candidates.c
    ahead = case((c.warm_key.in_(bindparam("warm", expanding=True)), WARM_AHEAD), else_=0.0)
    start = c.base + (c.turn - 1 - ahead) / c.weight
    place = func.row_number().over(order_by=[c.lane, start, c.queued_at, c.id])
    running = _running()
    within = or_(c.max_running_jobs.is_(None), func.coalesce(running.c.count, 0) + c.turn <= c.max_running_jobs)
    return (
        select(c.tenant_id, c.id, c.kind, c.batch_key, c.base, place.label("place"))
        .outerjoin(running, running.c.tenant_id == c.tenant_id)
        .where(within)
    )


def _candidates() -> Select[Any]:
    """Return the jobs that may start, each with its turn among its tenant's own."""
    own = [Job.tenant_id, Job.kind]
    floor = func.min(Job.virtual_floor).over(partition_by=own)
    base = case((TenantLane.virtual_time > floor, TenantLane.virtual_time), else_=floor)
    turn = func.row_number().over(partition_by=own, order_by=[Job.queued_at, Job.id])
    lane = case((_impatient(), -1), *((Job.kind == kind, place) for place, kind in enumerate(LANES)))
    own_columns = (Job.tenant_id, Job.id, Job.kind, Job.batch_key, Job.queued_at, Job.warm_key)
    columns = (*own_columns, TenantShare.weight, TenantShare.max_running_jobs)
    window = _windows()
    return (
        select(*columns, base.label("base"), turn.label("turn"), lane.label("lane"))
        .join(TenantShare, TenantShare.tenant_id == Job.tenant_id)
        .join(TenantLane, and_(TenantLane.tenant_id == Job.tenant_id, TenantLane.kind == Job.kind))
        .join(window, and_(window.c.tenant_id == Job.tenant_id, window.c.kind == Job.kind))
        .where(startable(), TenantShare.suspended.is_(False))
        .where(Job.queued_at <= window.c.last)
    )


def _impatient() -> ColumnElement[bool]:
    """What lets a training go before everything else: it has waited for long, and nobody is being trained.

    Once it runs it lets the others past, so that neither starves however many of the other kind there are.
    """
    other = aliased(Job)
    training = exists().where(other.kind == "train", other.state.in_(HELD))
    return and_(Job.kind == "train", age(Job.queued_at) > PATIENCE_SECONDS, ~training)


def _windows() -> CTE:
    """Return until when each tenant's jobs are looked at: far in the future where there are few."""
    job = aliased(Job)
    waiting = and_(job.tenant_id == TenantLane.tenant_id, job.kind == TenantLane.kind, job.state == "queued")
    last = select(job.queued_at).where(waiting).order_by(job.queued_at).offset(LOOK_AHEAD - 1).limit(1)
    until = func.coalesce(last.correlate(TenantLane).scalar_subquery(), now(86_400.0))
    kinds: BindParameter[Any] = bindparam("wanted_kinds", expanding=True)
    found = select(TenantLane.tenant_id, TenantLane.kind, until.label("last")).where(TenantLane.kind.in_(kinds))
    return found.cte("windows").prefix_with("MATERIALIZED")  # once for each lane, not once for each job


def _running() -> CTE:
    return (
        select(Job.tenant_id, func.count().label("count"))
        .where(Job.state.in_(HELD))
        .group_by(Job.tenant_id)
        .cte("busy")
    )
