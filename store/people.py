"""Identities: people whose photos are restored."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, case, func, or_, select, update
from sqlalchemy.orm import Session

from store import outbox, quotas
from store.columns import age, now
from store.errors import InvalidRequest, QuotaExceeded, StateConflict
from store.models import Identity, Job, Restoration, RestorationFace, TenantShare

_INEXACT_SECONDS = 1.0  # no two readings of a clock add up to the last bit: nothing is shortened by less than that


def create(session: Session, tenant_id: str, name: str, retention_seconds: int | None = None) -> Identity:
    """Create a person; QuotaExceeded where the tenant has as many as it may have."""
    limit = session.get_one(TenantShare, tenant_id).max_identities
    there = select(func.count()).where(Identity.tenant_id == tenant_id, Identity.erased_at.is_(None))
    if limit is not None and not quotas.has_room(session, tenant_id, there, limit):
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
    require_present(locked(session, row.tenant_id, row.id))
    if name is not None:
        row.name = name
    if retention_seconds is not None:
        _shorten(session, row, retention_seconds)
    session.flush()


def locked(session: Session, tenant_id: str, identity_id: str) -> Identity:
    """Return a person as they are by now, locked to the end of the transaction.

    Whatever begins, ends or depends on an erasure does this first: of two that come at once the second waits, and then
    sees what the first has done.
    """
    mine = (Identity.tenant_id == tenant_id, Identity.id == identity_id)
    found = select(Identity).where(*mine).with_for_update(key_share=True)
    return session.scalars(found.execution_options(populate_existing=True)).one()


def require_shown(session: Session, tenant_id: str, identity_ids: Collection[str]) -> None:
    """StateConflict where one of these people is being erased or is on hold: no picture of theirs goes out."""
    mine = (Identity.tenant_id == tenant_id, Identity.id.in_(identity_ids))
    for row in session.scalars(select(Identity).where(*mine)):
        require_present(row)


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


def shorten_results(session: Session, tenant_id: str, identity_id: str | None = None) -> None:
    """Let finished restorations expire by the retention of the people in them; of all people, or of one."""
    shortest, ended = _shortest(), _seconds_since_the_end()
    concerned = select(RestorationFace.restoration_id).where(RestorationFace.tenant_id == tenant_id)
    if identity_id is not None:
        concerned = concerned.where(RestorationFace.identity_id == identity_id)
    there = (Restoration.tenant_id == tenant_id, Restoration.removed_at.is_(None), Restoration.id.in_(concerned))
    longer = or_(Restoration.expires_at.is_(None), Restoration.expires_at > now(shortest - ended + _INEXACT_SECONDS))
    shortened = (
        update(Restoration)
        .where(*there, shortest.is_not(None), ended.is_not(None), longer)
        .values(expires_at=now(shortest - ended))
    )
    session.execute(shortened.execution_options(synchronize_session=False))


def _shortest() -> ColumnElement[int]:
    """Return the shortest retention of the people in a restoration, or what was asked for it, if that is shorter."""
    theirs = (
        select(func.min(Identity.retention_seconds))
        .join(
            RestorationFace,
            (RestorationFace.tenant_id == Identity.tenant_id) & (RestorationFace.identity_id == Identity.id),
        )
        .where(RestorationFace.tenant_id == Restoration.tenant_id, RestorationFace.restoration_id == Restoration.id)
        .correlate(Restoration)
        .scalar_subquery()
    )
    return case((Restoration.expires_in < theirs, Restoration.expires_in), else_=theirs)


def _seconds_since_the_end() -> ColumnElement[float]:
    """Return for how long a restoration's job has ended; null where it has not."""
    its = (Job.tenant_id == Restoration.tenant_id, Job.id == Restoration.job_id)
    return select(age(Job.finished_at)).where(*its).correlate(Restoration).scalar_subquery()


def _shorten(session: Session, row: Identity, seconds: int) -> None:
    before = row.retention_seconds
    if before is not None and seconds > before:
        raise InvalidRequest(
            f"got a retention of {seconds} s, wanted at most the {before} s it is: a retention only ever gets shorter"
        )
    if seconds == before:
        return
    row.retention_seconds = seconds
    shorten_results(session, row.tenant_id, row.id)
    if before is None:  # else there is an errand already; who is over before it comes, the caretaker's round finds
        _plan_retirement(session, row)


def _plan_retirement(session: Session, row: Identity) -> None:
    if row.retention_seconds is not None:
        outbox.add(session, row.tenant_id, "retire", {"id": row.id}, row.retention_seconds)
