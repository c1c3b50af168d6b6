"""Which job is next: lanes first, then weighted fair shares (start-time fair queueing), then who came first.

A lane that is starved gets turns: where one of its jobs has waited for a minute, it goes before the others once in five
seconds, so that a flood in one lane drowns no other. For trainings, nobody must be in training, or have been just now.

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
    Subquery,
    Table,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy import (
    cast as cast_to,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double

from store.columns import age, now
from store.job_models import BATCHED, HELD, LANES, Job, TenantLane, TenantShare

PATIENCE_SECONDS = 60.0
"""How long a job waits behind other lanes before its own gets turns; trainings leave as much between each other."""
TURN_SECONDS = 5.0
"""How often a starved lane has a turn."""
LOOK_AHEAD = (4, 64)
"""How many of each tenant's waiting jobs are looked at, so that a long queue costs no more than a short one: the fewer
tenants wait, the more."""
RANKED = 512
"""How many jobs of all tenants together are looked at, if that is not less than the least for each."""
AMONG = 128
"""Among how many of the first jobs, and tenants, one is looked for that nobody else is just claiming."""
WARM_AHEAD = 4.0
"""By how many of its tenant's jobs one with a warm adapter may go early: bounded, so that nobody starves."""
_FOR_EVER_SECONDS = 1e9


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


def startable(job: type[Job] = Job) -> ColumnElement[bool]:
    """What makes a queued job one that may start now; its deadline is for the first start, not for going on."""
    return and_(
        job.state == "queued",
        or_(job.not_before.is_(None), job.not_before <= now()),
        or_(job.deadline_at.is_(None), job.deadline_at > now(), job.attempt > 0),
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
        .values(virtual_time=later + count / weight, served_at=now())
    )


def _ranked() -> Select[Any]:
    candidates = _candidates().cte("candidates")
    c = candidates.c
    start = c.base + (c.turn - 1 - _ahead(c.warm_key)) / c.weight
    place = func.row_number().over(order_by=[c.place, start, c.queued_at, c.id])
    return select(c.tenant_id, c.id, c.kind, c.batch_key, c.base, place.label("place")).where(
        or_(c.room.is_(None), c.turn <= c.room)
    )


def _ahead(warm_key: Any) -> ColumnElement[float]:
    return case((warm_key.in_(bindparam("warm", expanding=True)), WARM_AHEAD), else_=0.0)


def _candidates() -> Select[Any]:
    """Return the jobs that may start of the lanes that come first, each with its turn among its tenant's own."""
    lane = _windows().c
    turn = func.row_number().over(partition_by=[Job.tenant_id, Job.kind], order_by=[Job.queued_at, Job.id])
    columns = (Job.tenant_id, Job.id, Job.kind, Job.batch_key, Job.queued_at, Job.warm_key)
    return (
        select(*columns, lane.base, lane.weight, lane.room, lane.place, turn.label("turn"))
        .where(Job.tenant_id == lane.tenant_id, Job.kind == lane.kind)
        .where(startable(), Job.queued_at <= lane.last)
    )


def _windows() -> CTE:
    """Return until when each of the first lanes' jobs are looked at: far in the future where there are few."""
    lanes = _lanes()
    job = aliased(Job)
    waiting = and_(job.tenant_id == lanes.c.tenant_id, job.kind == lanes.c.kind, startable(job))
    most = RANKED // select(func.count()).select_from(lanes).scalar_subquery()
    last = select(job.queued_at).where(waiting).order_by(job.queued_at).offset(_within(most)).limit(1)
    until = func.coalesce(last.correlate(lanes).scalar_subquery(), now(86_400.0))
    return select(lanes, until.label("last")).cte("windows").prefix_with("MATERIALIZED")


def _within(most: ColumnElement[int]) -> ColumnElement[int]:
    return case((most > LOOK_AHEAD[1], LOOK_AHEAD[1]), (most < LOOK_AHEAD[0], LOOK_AHEAD[0]), else_=most) - 1


def _lanes() -> CTE:
    """Return the tenants' lanes that come first by what their own first job has: a few, however many tenants wait."""
    waiting = _waiting()
    starved, lane = _starved(waiting), waiting.c
    place = func.coalesce(starved.c.place, case({kind: n for n, kind in enumerate(LANES)}, value=lane.kind))
    start = lane.base - _ahead(lane.warm_key) / lane.weight
    return (
        select(lane.tenant_id, lane.kind, lane.base, lane.weight, lane.room, place.label("place"))
        .outerjoin_from(waiting, starved, starved.c.kind == lane.kind)
        .order_by(place, start, lane.queued_at, lane.tenant_id)
        .limit(AMONG)
        .cte("lanes")
        .prefix_with("MATERIALIZED")
    )


def _starved(waiting: CTE) -> CTE:
    """Return the lanes that are due a turn, and their places before all others: who had none for longest goes first.

    The lane that had the last turn of all is never among them, however long ago that is on a slow worker.
    """
    idle = _idle()
    lane, oldest = idle.c, func.max(age(waiting.c.queued_at))
    impatient = select(waiting.c.kind).group_by(waiting.c.kind).having(oldest > PATIENCE_SECONDS)
    overtaken = lane.seconds > select(func.min(lane.seconds)).scalar_subquery()
    return (
        select(lane.kind, (-func.row_number().over(order_by=lane.seconds)).label("place"))
        .where(lane.kind.in_(impatient), lane.seconds > TURN_SECONDS, overtaken)
        .where(or_(lane.kind != "train", ~_training()))
        .cte("starved")
        .prefix_with("MATERIALIZED")
    )


def _idle() -> CTE:
    """Return for how many seconds no job of each lane has begun."""
    kinds = _kinds()
    last = select(func.max(TenantLane.served_at)).where(TenantLane.kind == kinds.c.kind).correlate(kinds)
    seconds = func.coalesce(age(last.scalar_subquery()), _FOR_EVER_SECONDS)
    return select(kinds.c.kind, seconds.label("seconds")).cte("idle").prefix_with("MATERIALIZED")


def _training() -> ColumnElement[bool]:
    """Whether somebody is being trained, or was just now: so trainings let the others past in between."""
    held, ended = aliased(Job), aliased(Job)
    # A training that was canceled while it waited has no worker, and held nobody up.
    just_now = and_(ended.finished_at > now(-PATIENCE_SECONDS), ended.worker_id.is_not(None))
    return or_(
        exists().where(held.kind == "train", held.state.in_(HELD)),
        exists().where(ended.kind == literal_column("'train'"), just_now),  # spelled out, as in the index over these
    )


def _waiting() -> CTE:
    """Return the tenants' lanes that have a job which may start, and may have another one running."""
    head, busy = _heads().c, _running()
    base = case((TenantLane.virtual_time > head.virtual_floor, TenantLane.virtual_time), else_=head.virtual_floor)
    room = TenantShare.max_running_jobs - func.coalesce(busy.c.count, 0)
    first = (head.tenant_id, head.kind, head.queued_at, head.warm_key)
    return (
        select(*first, base.label("base"), TenantShare.weight, room.label("room"))
        .join(TenantShare, TenantShare.tenant_id == head.tenant_id)
        .join(TenantLane, and_(TenantLane.tenant_id == head.tenant_id, TenantLane.kind == head.kind))
        .outerjoin(busy, busy.c.tenant_id == head.tenant_id)
        .where(TenantShare.suspended.is_(False), or_(TenantShare.max_running_jobs.is_(None), room > 0))
        .cte("waiting")
        .prefix_with("MATERIALIZED")
    )


_HEAD = (Job.tenant_id, Job.queued_at, Job.virtual_floor, Job.warm_key)


def _heads() -> CTE:
    """Return each lane's first job that may start, by leaps along an index: who has nothing waiting costs nothing."""
    kinds = _kinds()
    wanted_kinds: BindParameter[Any] = bindparam("wanted_kinds", expanding=True)
    least = _first(kinds.c.kind).correlate(kinds).scalar_subquery().label("next_id")
    nothing = (cast_to(null(), column.type).label(column.key) for column in _HEAD)
    before_all = select(kinds.c.kind, least, *nothing).where(kinds.c.kind.in_(wanted_kinds))
    heads = before_all.cte("heads", recursive=True)
    here = aliased(Job)
    later = _first(heads.c.kind, here.tenant_id).correlate(heads, here).scalar_subquery()
    columns = (getattr(here, column.key) for column in _HEAD)
    return heads.union_all(select(heads.c.kind, later, *columns).join(here, here.id == heads.c.next_id))


def _kinds() -> Subquery:
    return union_all(*(select(literal(kind).label("kind")) for kind in LANES)).subquery("kinds")


def _first(kind: Any, after: Any = None) -> Select[Any]:
    """Select the first job that may start, of the next tenant in the index's order."""
    job = aliased(Job)
    found = select(job.id).where(startable(job), job.kind == kind).order_by(job.tenant_id, job.queued_at).limit(1)
    return found if after is None else found.where(job.tenant_id > after)


def _running() -> CTE:
    return (
        select(Job.tenant_id, func.count().label("count"))
        .where(Job.state.in_(HELD))
        .group_by(Job.tenant_id)
        .cte("busy")
    )
