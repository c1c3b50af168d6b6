"""Adapters: what a training made, to use, to take along, to bring back."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from store import consents, ledger, outbox, workers
from store.adapter_bytes import Checked
from store.columns import now
from store.errors import Gone, StateConflict
from store.leases import Lease
from store.models import LIVE, Adapter, Identity, Job
from store.safe import Safe


@dataclass(frozen=True)
class Built:
    """What a training made; `digest` is the file's SHA-256, `bundle_digest` that of the base it fits."""

    blob: str
    digest: str
    bundle: str
    bundle_digest: str
    size_bytes: int
    metrics: dict[str, Any] = field(default_factory=dict)


def publish(session: Session, lease: Lease, built: Built, metrics: dict[str, float]) -> Adapter:
    """Publish what a training made, and make it the active one if that was wished."""
    job = ledger.succeed(session, lease, metrics)
    row = session.get_one(Adapter, {"tenant_id": lease.tenant_id, "id": job.adapter_id})
    _lock_all(session, row)
    row.blob, row.digest, row.size_bytes = built.blob, built.digest, built.size_bytes
    row.bundle, row.bundle_digest, row.metrics = built.bundle, built.bundle_digest, built.metrics
    session.flush()
    if job.options.get("activate", True):
        _use(session, row)
    if job.checkpoint_blob is not None:
        outbox.add(session, lease.tenant_id, "delete_blobs", {"prefix": job.checkpoint_blob})
    data = {"adapter_id": row.id, "identity_id": row.identity_id, "job_id": job.id}
    outbox.add(session, lease.tenant_id, "webhook", {"type": "adapter.ready", "data": data})
    session.refresh(row)
    return row


def bring(session: Session, safe: Safe, identity: Identity, file: Checked) -> Adapter:
    """Keep an adapter that was trained before, its bytes checked, if a worker's base fits it."""
    consents.require(session, identity, "restore")
    workers.require_base(session, file.label.base_digest)
    row = Adapter(
        tenant_id=identity.tenant_id,
        identity_id=identity.id,
        digest=file.digest,
        bundle=file.label.bundle,
        bundle_digest=file.label.base_digest,
        size_bytes=len(file.data),
        options=file.label.options,
    )
    session.add(row)
    session.flush()
    row.blob = safe.put(session, row.tenant_id, identity.id, "adapter", row.id, file.data)
    session.flush()
    session.refresh(row)
    return row


def read(session: Session, safe: Safe, row: Adapter) -> bytes:
    """Return an adapter's file."""
    return safe.get(session, row.tenant_id, row.identity_id, _blob(row))


def activate(session: Session, row: Adapter) -> None:
    """Make this the adapter that restorations of the person use, who must agree to be restored."""
    consents.require(session, session.get_one(Identity, (row.tenant_id, row.identity_id)), "restore")
    _lock_all(session, row)
    _use(session, row)


def remove(session: Session, row: Adapter) -> None:
    """Delete an adapter; workers that have it loaded drop it."""
    session.refresh(row, with_for_update={"key_share": True})
    if row.removed_at is not None:
        raise Gone("got an adapter that has been deleted meanwhile, wanted one that is there")
    job = session.get(Job, {"tenant_id": row.tenant_id, "id": row.job_id}) if row.job_id else None
    if row.blob is None and job is not None and job.state in LIVE:
        raise StateConflict("got an adapter that is being trained, wanted one that is done; cancel its job first")
    if row.blob is not None:
        outbox.add(session, row.tenant_id, "delete_blobs", {"prefix": row.blob})
    workers.evict(session, row.tenant_id, row.id)
    bury(row)
    session.flush()


def bury(row: Adapter) -> None:
    """Leave of an adapter's row what is not personal."""
    row.removed_at = now()
    row.blob = row.digest = row.bundle = row.bundle_digest = None  # of one that was brought, these are anybody's text
    row.active = False
    row.options, row.metrics = {}, {}


def _use(session: Session, row: Adapter) -> None:
    """Make an adapter the active one of a person; all of theirs must be locked."""
    _blob(row)
    siblings = (Adapter.tenant_id == row.tenant_id, Adapter.identity_id == row.identity_id, Adapter.id != row.id)
    session.execute(update(Adapter).where(*siblings).values(active=False).execution_options(synchronize_session=False))
    row.active, row.activated_at = True, now()
    session.flush()
    session.refresh(row)


def _lock_all(session: Session, row: Adapter) -> None:
    """Read a person's adapters anew, to change which is active; in their order, so that nobody waits in a circle."""
    mine = (Adapter.tenant_id == row.tenant_id, Adapter.identity_id == row.identity_id)
    found = select(Adapter).where(*mine).order_by(Adapter.id).with_for_update(key_share=True)
    session.scalars(found.execution_options(populate_existing=True)).all()


def _blob(row: Adapter) -> str:
    if row.removed_at is not None or row.blob is None:
        raise StateConflict("got an adapter without a file, wanted one that is trained; wait for its job to succeed")
    return row.blob
