"""Identities: people whose photos are restored."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from store import outbox
from store.columns import now
from store.errors import InvalidRequest, QuotaExceeded, StateConflict
from store.models import Identity, RestorationFace, TenantShare


def create(session: Session, tenant_id: str, name: str, retention_seconds: int | None = None) -> Identity:
    """Create a person; QuotaExceeded where the tenant has as many as it may have."""
    limit = session.get_one(TenantShare, tenant_id).max_identities
    there = select(func.count()).where(Identity.tenant_id == tenant_id, Identity.erased_at.is_(None))
    if limit is not None and (session.scalar(there) or 0) >= limit:
        raise QuotaExceeded(
            f"got one identity more than {limit}, wanted no more than that; delete one or ask your operator"
        )
    row = Identity(tenant_id=tenant_id, name=name, retention_seconds=retention_seconds)
    session.add(row)
    session.flush()
    session.refresh(row)
    _plan_retirement(session, row)
    return row


def change(session: Session, row: Identity, name: str | None, retention_seconds: int | None) -> None:
    """Rename a person, or shorten how long their things are kept."""
    require_present(row)
    if name is not None:
        row.name = name
    if retention_seconds is not None:
        if row.retention_seconds is not None and retention_seconds > row.retention_seconds:
            raise InvalidRequest(
                f"got a retention of {retention_seconds} s, wanted at most the {row.retention_seconds} s it is: "
                "a retention only ever gets shorter"
            )
        row.retention_seconds = retention_seconds
        _plan_retirement(session, row)
        _shorten_results(session, row)
    session.flush()


def require_present(row: Identity) -> None:
    """StateConflict for a person who is being erased or is on hold."""
    if row.erasing_at is not None or row.erased_at is not None:
        raise StateConflict("got an identity that is being erased, wanted one that is there")
    if row.held_at is not None:
        raise StateConflict("got an identity that an operator has put on hold, wanted one that is free; ask them")


def touch(session: Session, tenant_id: str, identity_id: str) -> None:
    """Note that a person's things were used: their retention counts from here."""
    mine = (Identity.tenant_id == tenant_id, Identity.id == identity_id)
    session.execute(
        update(Identity).where(*mine).values(last_active_at=now()).execution_options(synchronize_session=False)
    )


def _plan_retirement(session: Session, row: Identity) -> None:
    if row.retention_seconds is not None:
        outbox.add(session, row.tenant_id, "retire", {"id": row.id}, row.retention_seconds)


def _shorten_results(session: Session, row: Identity) -> None:
    """Have it looked at anew how long the person's restorations may be kept."""
    mine = (RestorationFace.tenant_id == row.tenant_id, RestorationFace.identity_id == row.id)
    for restoration_id in session.scalars(select(RestorationFace.restoration_id).where(*mine)).all():
        outbox.add(session, row.tenant_id, "expire", {"id": restoration_id})
