"""What operators see and do: tenants, workers, queues. On Postgres under a database role of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from store import keys
from store.audit import FIRST
from store.columns import age, now
from store.database import acting_as
from store.errors import NotFound
from store.job_models import HELD, LANES, Job, TenantLane, Worker
from store.models import ApiKey, AuditHead, Identity, Tenant, TenantShare

SCOPES = (
    "identities:read", "identities:write", "restorations:read", "restorations:write", "adapters:export",
    "adapters:import", "webhooks:admin", "keys:admin", "audit:read",
)  # fmt: skip
OPERATOR_SCOPE = "admin"
SCHEDULE = ("references_days", "restorations_days", "uploads_days", "unused_adapters_days", "unused_identities_days")
"""A tenant's retention schedule, in days; None: until somebody deletes them."""
MAX_QUEUED_JOBS = 1000


def create_tenant(
    session: Session, name: str, weight: float = 1.0, operator: bool = False
) -> tuple[Tenant, ApiKey, str]:
    """Make a tenant and its first key; return both and the key's text. `operator`: the key may administer all."""
    with acting_as(session, "operator"):
        row = Tenant(name=name)
        session.add(row)
        session.flush()
        session.add(TenantShare(tenant_id=row.id, weight=weight, max_queued_jobs=MAX_QUEUED_JOBS))
        session.add(AuditHead(tenant_id=row.id, hash=FIRST))
        session.add_all(TenantLane(tenant_id=row.id, kind=kind) for kind in LANES)
        session.flush()
        scopes = [*SCOPES, OPERATOR_SCOPE] if operator else SCOPES
        key, token = keys.create(session, row.id, "first key", scopes)
        session.refresh(row)
        return row, key, token


def tenants(session: Session, limit: int, after: str | None = None) -> Sequence[Tenant]:
    """Return limit + 1 tenants at most, newest first."""
    found = select(Tenant).order_by(Tenant.id.desc()).limit(limit + 1)
    if after is not None:
        found = found.where(Tenant.id < after)
    with acting_as(session, "operator"):
        return session.scalars(found).all()


def tenant(session: Session, tenant_id: str) -> Tenant:
    """Return a tenant, or NotFound."""
    with acting_as(session, "operator"):
        row = session.get(Tenant, tenant_id)
    if row is None:
        raise NotFound("got an id that names no tenant, wanted one that the list of tenants shows")
    return row


def change(session: Session, tenant_id: str, **changes: Any) -> Tenant:
    """Change a tenant's name, share, quotas or retention schedule, or suspend it."""
    row = tenant(session, tenant_id)
    share = row.share
    suspended, most = share.suspended, share.max_running_jobs
    with acting_as(session, "operator"):
        for name, value in changes.items():
            setattr(row if name in ("name", *SCHEDULE) else share, name, value)
        session.flush()
    may_more = most is not None and (share.max_running_jobs is None or share.max_running_jobs > most)
    if may_more or (suspended and not share.suspended):
        _start_afresh(session, tenant_id)
    return row


def _start_afresh(session: Session, tenant_id: str) -> None:
    """Bring a tenant's virtual time up to the lanes': like who was idle, who was held back has saved nothing up."""
    # Not `ranking.lane_clock`: on Postgres that is a function which the operator's role may not call.
    clock = select(func.max(Job.virtual_start)).where(Job.kind == TenantLane.kind).scalar_subquery()
    behind = (TenantLane.tenant_id == tenant_id, TenantLane.virtual_time < clock)
    with acting_as(session, "operator"):
        brought_up = update(TenantLane).where(*behind).values(virtual_time=clock)
        session.execute(brought_up.execution_options(synchronize_session=False))


def create_key(session: Session, tenant_id: str, name: str, scopes: Sequence[str]) -> tuple[ApiKey, str]:
    """Make a key for a tenant whose own keys are lost."""
    tenant(session, tenant_id)
    with acting_as(session, "operator"):
        return keys.create(session, tenant_id, name, scopes)


def hold(session: Session, tenant_id: str, identity_id: str, held: bool) -> None:
    """Put an identity on hold, or free it; nothing of a held one is processed."""
    with acting_as(session, "operator"):
        row = session.get(Identity, {"tenant_id": tenant_id, "id": identity_id})
        if row is None:
            raise NotFound("got an id that names no identity of this tenant, wanted one that is there")
        row.held_at = now() if held else None
        session.flush()


def workers(session: Session) -> Sequence[Worker]:
    """Return the worker processes, the latest heard of first."""
    with acting_as(session, "operator"):
        return session.scalars(select(Worker).order_by(Worker.last_seen_at.desc())).all()


def drain(session: Session, worker_id: str) -> Worker:
    """Tell a worker to finish what it has and to claim nothing more."""
    with acting_as(session, "operator"):
        row = session.get(Worker, worker_id)
        if row is None:
            raise NotFound("got an id that names no worker, wanted one that the list of workers shows")
        row.draining = True
        session.flush()
        return row


def queues(session: Session) -> Sequence[Mapping[str, Any]]:
    """Return, for each lane, how many jobs wait and run, and for how many seconds the first has waited."""
    waits, runs = Job.state == "queued", Job.state.in_(HELD)
    columns = (
        Job.kind,
        func.count(case((waits, 1))),
        func.count(case((runs, 1))),
        func.max(case((waits, age(Job.queued_at)))),
    )
    with acting_as(session, "operator"):
        found = session.execute(select(*columns).where(Job.state.in_(("queued", *HELD))).group_by(Job.kind)).all()
    rows = {kind: (queued, running, oldest) for kind, queued, running, oldest in found}
    names = ("queued", "running", "oldest_age_seconds")
    return [{"kind": kind, **dict(zip(names, rows.get(kind, (0, 0, None)), strict=True))} for kind in LANES]


def jobs(session: Session, limit: int, state: str | None = None, kind: str | None = None) -> Sequence[Job]:
    """Return the latest jobs of all tenants."""
    found = select(Job).order_by(Job.id.desc()).limit(limit)
    for column, value in ((Job.state, state), (Job.kind, kind)):
        if value is not None:
            found = found.where(column == value)
    with acting_as(session, "operator"):
        return session.scalars(found).all()


def keys_of(session: Session, tenant_id: str) -> Sequence[ApiKey]:
    """Return a tenant's keys, newest first."""
    tenant(session, tenant_id)
    with acting_as(session, "operator"):
        return session.scalars(select(ApiKey).where(ApiKey.tenant_id == tenant_id).order_by(ApiKey.id.desc())).all()


def revoke_key(session: Session, tenant_id: str, key_id: str) -> ApiKey:
    """End a key now."""
    with acting_as(session, "operator"):
        row = session.get(ApiKey, {"tenant_id": tenant_id, "id": key_id})
        if row is None:
            raise NotFound("got an id that names no key of this tenant, wanted one that its list shows")
        keys.revoke(session, row)
        return row
