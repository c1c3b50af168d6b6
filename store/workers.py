"""Worker processes: who is there, who is to stop, what each must forget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from store.columns import age, now
from store.errors import AdapterMismatch
from store.job_models import Eviction, Worker

LOST_AFTER_SECONDS = 60.0
"""A worker that has been silent for so long is taken for dead: nobody waits for it any more."""


@dataclass(frozen=True)
class Orders:
    """What a worker is told when it reports: to claim nothing more, and whose things to drop from its caches."""

    draining: bool
    evictions: Sequence[Eviction]
    forgotten: bool = False  # nobody told it to go: it was silent for so long that it was struck off


def register(session: Session, device: str, bundle: str, details: Mapping[str, Any] | None = None) -> Worker:
    """Enter a new worker process; details should name the `base_digest` of its bundle."""
    row = Worker(device=device, bundle=bundle, details=dict(details or {}))
    latest = select(Eviction.sequence).order_by(Eviction.sequence.desc()).limit(1)
    row.evicted_through = session.scalar(latest) or 0  # its caches are empty
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def beat(session: Session, worker_id: str, state: str, details: Mapping[str, Any] | None = None) -> Orders:
    """Report that a worker lives; return its orders. One that was forgotten is to drain and start anew."""
    values: dict[str, Any] = {"state": state, "last_seen_at": now()}
    if details is not None:
        values["details"] = dict(details)
    row = session.scalars(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(**values)
        .returning(Worker)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()
    if row is None:
        return Orders(True, [], forgotten=True)
    later = select(Eviction).where(Eviction.sequence > row.evicted_through).order_by(Eviction.sequence)
    return Orders(row.draining, session.scalars(later).all())


def evict(session: Session, tenant_id: str, owner_id: str) -> Eviction:
    """Tell all workers to drop an adapter, or all of an identity's, from their caches.

    Numbers must appear in their order, or a worker that has heard of a later one would never hear of an earlier one;
    so whoever evicts at the same time waits for this commit.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext('idprefer evictions'))"))
    row = Eviction(tenant_id=tenant_id, owner_id=owner_id)
    session.add(row)
    session.flush()
    return row


def evicted(session: Session, worker_id: str, through_sequence: int) -> None:
    """Note that a worker has dropped everything up to an eviction."""
    later = (Worker.id == worker_id, Worker.evicted_through < through_sequence)
    session.execute(
        update(Worker)
        .where(*later)
        .values(evicted_through=through_sequence)
        .execution_options(synchronize_session=False)
    )


def leave(session: Session, worker_id: str) -> None:
    """Strike off a worker that ends in good order."""
    session.execute(delete(Worker).where(Worker.id == worker_id).execution_options(synchronize_session=False))


def behind(session: Session, sequence: int) -> bool:
    """Whether a living worker has yet to drop what an eviction names."""
    alive = age(Worker.last_seen_at) < LOST_AFTER_SECONDS
    return session.scalar(select(Worker.id).where(alive, Worker.evicted_through < sequence).limit(1)) is not None


def require_base(session: Session, base_digest: str | None) -> None:
    """AdapterMismatch where workers are known and none has the base that an adapter was made for."""
    rows = session.scalars(select(Worker).where(age(Worker.last_seen_at) < LOST_AFTER_SECONDS)).all()
    known = {str(row.details["base_digest"]) for row in rows if row.details.get("base_digest")}
    if known and base_digest not in known:
        wanted = " or ".join(digest[:12] for digest in sorted(known))
        raise AdapterMismatch(
            f"got an adapter for the base {str(base_digest)[:12]}, wanted {wanted}; train it anew here"
        )
