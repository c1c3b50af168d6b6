"""The outbox: what is to be done after a commit, written in the same transaction, done at least once."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from store.columns import now
from store.job_models import OutboxEvent

HIDDEN_SECONDS = 60.0
"""For how long a claimed errand is left to whoever took it."""


@dataclass(frozen=True)
class Errand:
    """Something to do; `attempts` counts this one."""

    id: str
    tenant_id: str
    kind: str
    payload: dict[str, Any]
    attempts: int


def add(session: Session, tenant_id: str, kind: str, payload: dict[str, Any], in_seconds: float = 0.0) -> None:
    """Leave an errand, to be done not before so many seconds from now."""
    row = OutboxEvent(tenant_id=tenant_id, kind=kind, payload=payload, available_at=now(in_seconds))
    session.add(row)
    session.flush()


def due(session: Session) -> bool:
    """Whether an errand is due."""
    return bool(session.scalar(select(exists().where(OutboxEvent.available_at <= now()))))


def claim(session: Session, limit: int = 20) -> list[Errand]:
    """Take the errands that are due, the longest due first; whoever fails to finish one leaves it to others."""
    due = (
        select(OutboxEvent.id)
        .where(OutboxEvent.available_at <= now())
        .order_by(OutboxEvent.available_at)
        .limit(limit)
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
