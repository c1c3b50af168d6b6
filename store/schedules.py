"""A tenant's retention schedule: for how many days each kind of thing is kept, and what is over by it.

Beside what a caller asked for (`expires_in` of a result, the retention of a person) the shorter one holds. The audit
log, receipts and tombstones are no part of it: they are kept.
"""

from collections.abc import Iterator
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from store import adapters, audit, erasures, references, restorations, uploads
from store.columns import DAY_SECONDS, Owned, age, now
from store.models import LIVE, Adapter, Identity, Job, Reference, Restoration, RestorationFace, Tenant, Upload

Row = TypeVar("Row", bound=Owned)
Passing = TypeVar("Passing", Restoration, Upload)
_AT_ONCE = 100  # things of one kind in one transaction


def enforce(session: Session, tenant_id: str) -> int:
    """Delete what a tenant's schedule says is over, some of each kind, each with its audit event; return how many."""
    tenant = session.get_one(Tenant, tenant_id)
    _shorten(session, tenant)
    done = list(_removed(session, tenant))
    for action, row_id in done:  # only now: the log is locked from its first line on, and who deletes records last
        audit.record(session, tenant_id, "housekeeping", action, row_id, reason="retention")
    return len(done)


def _shorten(session: Session, tenant: Tenant) -> None:
    """Let what is there already expire by the schedule, where it was to be kept for longer."""
    if tenant.restorations_days is not None:
        ended = select(age(Job.finished_at)).where(Job.tenant_id == tenant.id, Job.id == Restoration.job_id)
        _expire_by(session, tenant, Restoration, tenant.restorations_days, ended.scalar_subquery())
    if tenant.uploads_days is not None:
        _expire_by(session, tenant, Upload, tenant.uploads_days, age(Upload.created_at))


def _expire_by(
    session: Session, tenant: Tenant, model: type[Restoration | Upload], days: int, since: ColumnElement[float]
) -> None:
    end = now(days * DAY_SECONDS - since)
    mine = (model.tenant_id == tenant.id, model.removed_at.is_(None), since.is_not(None))
    longer = or_(model.expires_at.is_(None), model.expires_at > end)
    shortened = update(model).where(*mine, longer).values(expires_at=end)
    session.execute(shortened.execution_options(synchronize_session=False))


def _removed(session: Session, tenant: Tenant) -> Iterator[tuple[str, str]]:
    """Delete what is over, and yield what was done to which row."""
    for restoration in _some(session, _old_restorations(tenant)):
        restorations.remove(session, restoration)
        yield "restoration.expired", restoration.id
    for upload in _some(session, _over(tenant, Upload, Upload.expires_at <= now())):
        uploads.remove(session, upload)
        yield "upload.expired", upload.id
    if tenant.references_days is not None:
        for reference in _some(session, _old_references(tenant, tenant.references_days)):
            references.remove(session, reference)
            yield "reference.expired", reference.id
    if tenant.unused_adapters_days is not None:
        for adapter in _some(session, _unused_adapters(tenant, tenant.unused_adapters_days)):
            adapters.remove(session, adapter)
            yield "adapter.expired", adapter.id
    if tenant.unused_identities_days is not None:
        for identity in _some(session, _unused_identities(tenant, tenant.unused_identities_days)):
            erasures.begin(session, identity, "retention")
            yield "identity.erasing", identity.id


def _some(session: Session, found: Select[Row]) -> list[Row]:
    """Return some of what was found, locked: what an errand is at is passed by, and has one event, not two."""
    return list(session.scalars(found.limit(_AT_ONCE).with_for_update(key_share=True, skip_locked=True)).all())


def _over(tenant: Tenant, model: type[Passing], over: ColumnElement[bool]) -> Select[Passing]:
    return select(model).where(model.tenant_id == tenant.id, model.removed_at.is_(None), over)


def _old_restorations(tenant: Tenant) -> Select[Restoration]:
    """Return results that are over, but of no job that is tried again: a worker locks the job first, then the row."""
    working = exists().where(Job.tenant_id == tenant.id, Job.id == Restoration.job_id, Job.state.in_(LIVE))
    return _over(tenant, Restoration, Restoration.expires_at <= now()).where(~working)


def _old_references(tenant: Tenant, days: int) -> Select[Reference]:
    """Return photos that were added so long ago, unless a worker judges or trains on them at this moment."""
    judged = and_(Job.reference_id == Reference.id, Job.state != "queued")  # a worker locks the job first, then the row
    trained_on = and_(Job.kind == "train", Job.identity_id == Reference.identity_id)
    working = exists().where(Job.tenant_id == tenant.id, or_(judged, trained_on), Job.state.in_(LIVE))
    mine = (Reference.tenant_id == tenant.id, Reference.removed_at.is_(None))
    return select(Reference).where(*mine, age(Reference.created_at) >= days * DAY_SECONDS, ~working)


def _unused_adapters(tenant: Tenant, days: int) -> Select[Adapter]:
    """Return adapters that were made, made active and last restored with so long ago."""
    seconds = days * DAY_SECONDS
    used = exists().where(
        RestorationFace.tenant_id == tenant.id,
        RestorationFace.adapter_id == Adapter.id,
        Restoration.tenant_id == tenant.id,
        Restoration.id == RestorationFace.restoration_id,
        age(Restoration.created_at) < seconds,
    )
    idle = (
        age(Adapter.created_at) >= seconds,
        or_(Adapter.activated_at.is_(None), age(Adapter.activated_at) >= seconds),
    )
    mine = (Adapter.tenant_id == tenant.id, Adapter.removed_at.is_(None), Adapter.blob.is_not(None))
    return select(Adapter).where(*mine, *idle, ~used)


def _unused_identities(tenant: Tenant, days: int) -> Select[Identity]:
    """Return people unused for so long; who is taken up at this very moment is locked, and so passed by."""
    mine = (Identity.tenant_id == tenant.id, Identity.erasing_at.is_(None), Identity.erased_at.is_(None))
    return select(Identity).where(*mine, age(Identity.last_active_at) >= days * DAY_SECONDS)
