"""The outbox: what is to be done after a commit, written in the same transaction, done at least once.

Deliveries wait for whoever is at the other end, deletions for the object store; each are claimed apart, so that nothing
else waits behind them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, case, delete, exists, func, literal, select, true, update
from sqlalchemy.orm import Session

from store.columns import now
from store.job_models import OutboxEvent

HIDDEN_SECONDS = 60.0
"""For how long a claimed errand is left to whoever took it, unless they hold it for longer."""
Lane = Literal["deliveries", "deletions", "others"]
_KINDS: Mapping[Lane, Sequence[str]] = {"deliveries": ("delivery",), "deletions": ("delete_blobs", "erase")}
"""What waits for somebody else; whatever else there is waits for the database alone."""


@dataclass(frozen=True)
class Errand:
    """Something to do; `attempts` counts this one, and nobody else takes it before `hidden_until`."""

    id: str
    tenant_id: str
    kind: str
    payload: dict[str, Any]
    attempts: int
    hidden_until: datetime


@dataclass(frozen=True)
class Wanted:
    """Which errands somebody would take: how many, of which lane, and how many of one tenant with those under way."""

    limit: int = 20
    lane: Lane | None = None  # None: of every lane
    per_tenant: int | None = None  # of one tenant at a time
    under_way: Mapping[str, str] = field(default_factory=dict)  # errands the asker has not finished: the tenant of each


_ERRAND = (
    OutboxEvent.id, OutboxEvent.tenant_id, OutboxEvent.kind, OutboxEvent.payload, OutboxEvent.attempts,
    OutboxEvent.available_at,
)  # fmt: skip


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
        .returning(*_ERRAND)
        .execution_options(synchronize_session=False)
    )
    rows = session.execute(taken).all()
    return sorted((Errand(*row) for row in rows), key=lambda errand: errand.id)


def hold(session: Session, errand: Errand) -> Errand:
    """Keep others from an errand for as long again; one that was put off, or taken by another, stays as it is."""
    mine = (OutboxEvent.id == errand.id, OutboxEvent.available_at == errand.hidden_until)
    held = update(OutboxEvent).where(*mine).values(available_at=now(HIDDEN_SECONDS)).returning(OutboxEvent.available_at)
    until = session.scalar(held.execution_options(synchronize_session=False))
    return errand if until is None else replace(errand, hidden_until=until)


def is_ours(session: Session, errand: Errand) -> bool:
    """Whether nobody has taken an errand since it was taken for us."""
    return bool(session.scalar(select(exists().where(*_ours(errand)))))


def done(session: Session, errand: Errand) -> None:
    """Forget an errand; one that another has taken since is the other's to forget."""
    session.execute(delete(OutboxEvent).where(*_ours(errand)))


def later(session: Session, errand: Errand, seconds: float) -> None:
    """Do an errand again, in so many seconds; one that another has taken since stays as it is."""
    session.execute(
        update(OutboxEvent)
        .where(*_ours(errand))
        .values(available_at=now(seconds))
        .execution_options(synchronize_session=False)
    )


def _ours(errand: Errand) -> tuple[ColumnElement[bool], ...]:
    """Return what holds while nobody has taken an errand since it was taken for us: each taking is counted."""
    return OutboxEvent.id == errand.id, OutboxEvent.attempts == errand.attempts


def _wanted(wanted: Wanted) -> Select[tuple[str]]:
    """Return what selects the ids: ranked apart from where they are locked, for Postgres does not do both at once.

    Who has least under way comes first: those of whom much is due do not keep the others from their first.
    """
    by_tenant = Counter(wanted.under_way.values())
    has = case(by_tenant, value=OutboxEvent.tenant_id, else_=0) if by_tenant else literal(0)
    place = func.row_number().over(partition_by=OutboxEvent.tenant_id, order_by=OutboxEvent.available_at)
    columns = (OutboxEvent.id, OutboxEvent.available_at, (has + place).label("place"))
    new = OutboxEvent.id.not_in(list(wanted.under_way))  # one that could not be held in time is being done all the same
    found = select(*columns).where(_in_lane(wanted.lane), new, OutboxEvent.available_at <= now()).subquery()
    within = found.c.place <= (wanted.per_tenant or wanted.limit)
    return select(found.c.id).where(within).order_by(found.c.place, found.c.available_at).limit(wanted.limit)


def _in_lane(lane: Lane | None) -> ColumnElement[bool]:
    if lane is None:
        return true()
    if lane == "others":
        return OutboxEvent.kind.not_in([kind for kinds in _KINDS.values() for kind in kinds])
    return OutboxEvent.kind.in_(_KINDS[lane])
