"""The rows of one tenant, and of no other: every read by an id goes through here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, bindparam, func, select, text
from sqlalchemy.orm import Session

from store.columns import Owned, Removable
from store.errors import Gone
from store.models import Adapter, Identity, Job, JobEvent, Restoration, RestorationFace, TenantShare, UsageRecord

Row = TypeVar("Row", bound=Owned)
_LONGEST_ID = 80


def one(session: Session, model: type[Row], tenant_id: str, row_id: str) -> Row | None:
    """Return the tenant's row of this id, or None; Gone where only its tombstone is left."""
    if len(row_id) > _LONGEST_ID or "\0" in row_id:
        return None
    row = session.scalars(_by_id(model), {"tenant_id": tenant_id, "id": row_id}).one_or_none()
    if row is not None and is_tombstone(row):
        raise Gone(f"got an id whose {model.__name__.lower()} has been deleted, wanted one that is there")
    return row


@cache  # asked by nearly every request: to put the statement together takes longer than to run it
def _by_id(model: type[Row]) -> Select[Row]:
    return select(model).where(model.tenant_id == bindparam("tenant_id"), model.id == bindparam("id"))


def rows(
    session: Session, model: type[Row], tenant_id: str, limit: int, after: str | None = None, **equal: Any
) -> Sequence[Row]:
    """Return limit + 1 rows of the tenant at most, newest first, from after an id on, without tombstones."""
    found = _page(model, after is not None, tuple(sorted(equal)))
    return session.scalars(found, {**equal, "tenant_id": tenant_id, "after": after, "at_most": limit + 1}).all()


@cache
def _page(model: type[Row], goes_on: bool, equal: tuple[str, ...]) -> Select[Row]:
    found = select(model).where(model.tenant_id == bindparam("tenant_id"), *_present(model))
    if goes_on:
        found = found.where(model.id < bindparam("after"))
    for name in equal:
        found = found.where(getattr(model, name) == bindparam(name))
    return found.order_by(model.id.desc()).limit(bindparam("at_most"))


def faces(session: Session, restoration: Restoration) -> Sequence[RestorationFace]:
    """Return the people of a restoration, in the order they were named."""
    mine = (RestorationFace.tenant_id == restoration.tenant_id, RestorationFace.restoration_id == restoration.id)
    return session.scalars(select(RestorationFace).where(*mine).order_by(RestorationFace.position)).all()


def job_events(session: Session, tenant_id: str, job_id: str, after: int) -> Sequence[JobEvent]:
    """Return what has happened to a job since an event, in order."""
    mine = (JobEvent.tenant_id == tenant_id, JobEvent.job_id == job_id, JobEvent.sequence > after)
    return session.scalars(select(JobEvent).where(*mine).order_by(JobEvent.sequence)).all()


def waiting_before(session: Session, job: Job) -> int:
    """Return how many of the tenant's own jobs of this kind are to start before this one."""
    given = {"tenant_id": job.tenant_id, "kind": job.kind, "queued_at": job.queued_at}
    return session.scalar(_waiting_before(), given) or 0


@cache
def _waiting_before() -> Select[int]:
    mine = (Job.tenant_id == bindparam("tenant_id"), Job.kind == bindparam("kind"), Job.state == "queued")
    return select(func.count()).where(*mine, Job.queued_at < bindparam("queued_at"))


def pulses(session: Session, job_ids: Sequence[str]) -> Mapping[str, tuple[int, str]]:
    """Return how far jobs of any tenants are: the number of the last event, and the state."""
    if session.get_bind().dialect.name == "postgresql":
        found = session.execute(text("SELECT * FROM idprefer_pulses(:ids)"), {"ids": list(job_ids)})
        return {row[0]: (row[1], row[2]) for row in found}
    known = session.execute(select(Job.id, Job.last_sequence, Job.state).where(Job.id.in_(job_ids)))
    return {row[0]: (row[1], row[2]) for row in known}


def usage(session: Session, tenant_id: str, since: datetime, until: datetime) -> Sequence[tuple[str, int, float]]:
    """Return, for each kind of job, how many ran in a period and the seconds they computed."""
    columns = (UsageRecord.kind, func.count(), func.coalesce(func.sum(UsageRecord.compute_seconds), 0.0))
    period = (UsageRecord.created_at >= since, UsageRecord.created_at < until)
    found = select(*columns).where(UsageRecord.tenant_id == tenant_id, *period).group_by(UsageRecord.kind)
    return [(kind, count, float(seconds)) for kind, count, seconds in session.execute(found.order_by(UsageRecord.kind))]


def quotas(session: Session, tenant_id: str) -> dict[str, int | None]:
    """Return how much the tenant may have; None for as much as it likes."""
    share = session.get_one(TenantShare, tenant_id)
    names = ("max_queued_jobs", "max_running_jobs", "max_identities")
    return {name: getattr(share, name) for name in names}


def tenant_ids(session: Session) -> Sequence[str]:
    """Return the ids of all tenants, in a transaction of none."""
    return session.scalars(select(TenantShare.tenant_id).order_by(TenantShare.tenant_id)).all()


def _present(model: type[Owned]) -> list[ColumnElement[bool]]:
    """Return what keeps tombstones out of a list."""
    if model is Adapter:
        return [Adapter.state != "deleted"]
    if model is Identity:
        return [Identity.erased_at.is_(None)]
    return [model.removed_at.is_(None)] if issubclass(model, Removable) else []


def is_tombstone(row: Owned) -> bool:
    """Whether of a row only the memory is left that it was there."""
    if isinstance(row, Identity):
        return row.erased_at is not None
    return isinstance(row, Removable) and row.removed_at is not None
