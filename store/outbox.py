"""The outbox: what is to be done after a commit, written in the same transaction, done at least once.

Deliveries wait for whoever is at the other end, deletions for the object store; each are claimed apart, so that nothing
else waits behind them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, case, delete, exists, func, literal, select, true, update
from sqlalchemy.orm import Session

from store.columns import now
from store.job_models import OutboxEvent

HIDDEN_SECONDS = 60.0
"""For how long a claimed errand is left to whoever took it."""
Lane = Literal["deliveries", "deletions", "others"]
_KINDS: Mapping[Lane, Sequence[str]] = {"deliveries": ("delivery",), "deletions": ("delete_blobs", "erase")}
"""What waits for somebody else; whatever else there is waits for the database alone."""


@dataclass(frozen=True)
class Errand:
    """Something to do; `attempts` counts this one."""

    id: str
    tenant_id: str
    kind: str
    payload: dict[str, Any]
    attempts: int


@dataclass(frozen=True)
class Wanted:
    """Which errands somebody would take: how many, of which lane, and how many of one tenant beside those it has."""

    limit: int = 20
    lane: Lane | None = None  # None: of every lane
    per_tenant: int | None = None  # of one tenant at a time
    under_way: Mapping[str, int] = field(default_factory=dict)  # by tenant


def add(session: Session, tenant_id: str, kind: str, payload: dict[str, Any], in_seconds: float = 0.0) -> None:
    """Leave an errand, to be done not before so many seconds from now."""
    row = OutboxEvent(tenant_id=tenant_id, kind=kind, payload=payload, available_at=now(in_seconds))
    session.add(row)
    session.flush()


def due(session: Session, wanted: Wanted) -> bool:
    """Whether an errand that is wanted is due."""
    return bool(session.scalar(select(exists(_wanted(wanted)))))


def claim(session: Session, wanted: Wanted) -> list[Errand]:
    """Take the errands that are due, of each tenant the longest due first; what nobody finishes is taken again."""
    due = (
        select(OutboxEvent.id)
        .where(OutboxEvent.id.in_(_wanted(wanted)), OutboxEvent.available_at <= now())
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED")
    )
    taken = (
        update(OutboxEvent)
        .where(OutboxEvent.id.in_(select(due.c.id)))
        .values(available_at=now(HIDDEN_SECONDS), attempts=OutboxEvent.attempts + 1)
        .returning(OutboxEvent.id, OutboxEvent.tenant_id, OutboxEvent.kind, OutboxEvent.payload, OutboxEvent.attempts)
        .execution_options(synchronize_session=False)
    )
    rows = session.execute(taken).all()
    return sorted((Errand(*row) for row in rows), key=lambda errand: errand.id)


def done(session: Session, errand_id: str) -> None:
    """Forget an errand."""
    session.execute(delete(OutboxEvent).where(OutboxEvent.id == errand_id))


def later(session: Session, errand_id: str, seconds: float) -> None:
    """Do an errand again, in so many seconds."""
    session.execute(
        update(OutboxEvent)
        .where(OutboxEvent.id == errand_id)
        .values(available_at=now(seconds))
        .execution_options(synchronize_session=False)
    )


def _wanted(wanted: Wanted) -> Select[tuple[str]]:
    """Return what selects the ids: ranked apart from where they are locked, for Postgres does not do both at once.

    Who has least under way comes first: those of whom much is due do not keep the others from their first.
    """
    has = case(dict(wanted.under_way), value=OutboxEvent.tenant_id, else_=0) if wanted.under_way else literal(0)
    place = func.row_number().over(partition_by=OutboxEvent.tenant_id, order_by=OutboxEvent.available_at)
    columns = (OutboxEvent.id, OutboxEvent.available_at, (has + place).label("place"))
    found = select(*columns).where(_in_lane(wanted.lane), OutboxEvent.available_at <= now()).subquery()
    within = found.c.place <= (wanted.per_tenant or wanted.limit)
    return select(found.c.id).where(within).order_by(found.c.place, found.c.available_at).limit(wanted.limit)


def _in_lane(lane: Lane | None) -> ColumnElement[bool]:
    if lane is None:
        return true()
    if lane == "others":
        return OutboxEvent.kind.not_in([kind for kinds in _KINDS.values() for kind in kinds])
    return OutboxEvent.kind.in_(_KINDS[lane])
