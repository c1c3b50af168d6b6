"""Retention: nothing is kept for longer than was agreed, and no object is kept that no row knows."""

from collections.abc import Sequence

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from store import audit, erasures, outbox, people, replays, restorations, uploads
from store.columns import age, now
from store.ids import kind_of
from store.models import (
    ENDED,
    Adapter,
    Eviction,
    Identity,
    Job,
    JobEvent,
    Reference,
    Restoration,
    Upload,
    WebhookDelivery,
    Worker,
)
from store.workers import LOST_AFTER_SECONDS

HISTORY_SECONDS = 30 * 86_400.0
CHECKPOINT_SECONDS = 7 * 86_400.0
_AT_ONCE = 100  # people in one transaction


def expire(session: Session, tenant_id: str, row_id: str) -> None:
    """Delete a restoration or an upload whose time is over; else look again when it may be."""
    key = {"tenant_id": tenant_id, "id": row_id}
    lock = {"key_share": True}  # the tenant's schedule may be at it too
    if kind_of(row_id) == "upl":
        upload = session.get(Upload, key, with_for_update=lock)
        if upload is not None and upload.removed_at is None:
            uploads.remove(session, upload)
            audit.record(session, tenant_id, "housekeeping", "upload.expired", row_id, reason="retention")
        return
    restoration = session.get(Restoration, key, with_for_update=lock)
    if restoration is None or restoration.removed_at is not None:
        return
    left = _seconds_left(session, restoration)
    if left is not None and left <= 0:
        restorations.remove(session, restoration)
        audit.record(session, tenant_id, "housekeeping", "restoration.expired", row_id, reason="retention")
    elif left is not None:
        outbox.add(session, tenant_id, "expire", {"id": row_id}, left)


def retire(session: Session, tenant_id: str, identity_id: str) -> None:
    """Erase a person whose things have not been used for their retention; else look again when that may be so."""
    mine = (Identity.tenant_id == tenant_id, Identity.id == identity_id)
    locked = select(Identity).where(*mine).with_for_update(key_share=True)  # who is taken up meanwhile is not erased
    row = session.scalars(locked).one_or_none()
    if row is None or row.retention_seconds is None or row.erasing_at is not None:
        return
    idle = session.scalar(select(age(Identity.last_active_at)).where(*mine)) or 0.0
    if idle >= row.retention_seconds:
        _retire(session, [row])
    else:
        outbox.add(session, tenant_id, "retire", {"id": identity_id}, row.retention_seconds - idle)


def orphans(session: Session, tenant_id: str, names: Sequence[str]) -> list[str]:
    """Return those of a tenant's objects that no row knows."""
    columns = (
        Reference.blob, Reference.face_blob, Adapter.blob, Upload.blob, Restoration.input_blob, Restoration.result_blob,
        Restoration.comparison_blob, Job.checkpoint_blob,
    )  # fmt: skip
    known: set[str | None] = set()
    for column in columns:
        known |= set(session.scalars(select(column).where(column.class_.tenant_id == tenant_id, column.in_(names))))
    return [name for name in names if name not in known]


def tidy(session: Session) -> None:
    """Drop workers long gone, evictions that everybody has heard of, and the events of jobs long ended."""
    quiet = {"synchronize_session": False}
    session.execute(delete(Worker).where(age(Worker.last_seen_at) > 10 * LOST_AFTER_SECONDS).execution_options(**quiet))
    session.execute(delete(Eviction).where(age(Eviction.created_at) > HISTORY_SECONDS).execution_options(**quiet))
    ended = select(Job.id).where(Job.state.in_(ENDED), age(Job.finished_at) > HISTORY_SECONDS)
    session.execute(delete(JobEvent).where(JobEvent.job_id.in_(ended)).execution_options(**quiet))


def tidy_tenant(session: Session, tenant_id: str) -> None:
    """Forget a tenant's old idempotency keys, old deliveries, and checkpoints nobody went on from.

    Here too a person's retention comes true that was shortened: for what there was already it left no errands.
    """
    people.shorten_results(session, tenant_id)
    replays.forget_old(session, tenant_id)
    old = (WebhookDelivery.tenant_id == tenant_id, age(WebhookDelivery.created_at) > HISTORY_SECONDS)
    session.execute(
        delete(WebhookDelivery)
        .where(*old, WebhookDelivery.state != "pending")
        .execution_options(synchronize_session=False)
    )
    _forget_checkpoints(session, tenant_id)
    _retire_unused(session, tenant_id)


def _forget_checkpoints(session: Session, tenant_id: str) -> None:
    """Let checkpoints go that nobody went on from; a job that is retried at this moment is locked, and keeps its."""
    left = or_(Job.state == "succeeded", age(Job.finished_at) > CHECKPOINT_SECONDS)
    spent = (Job.tenant_id == tenant_id, Job.state.in_(ENDED), Job.checkpoint_blob.is_not(None), left)
    found = select(Job.id, Job.checkpoint_blob).where(*spent).with_for_update(key_share=True, skip_locked=True)
    rows = session.execute(found).all()
    for _, blob in rows:
        outbox.add(session, tenant_id, "delete_blobs", {"prefix": blob})
    mine = (Job.tenant_id == tenant_id, Job.id.in_([job_id for job_id, _ in rows]))
    forgotten = update(Job).where(*mine).values(checkpoint_blob=None, checkpoint_step=None)
    session.execute(forgotten.execution_options(synchronize_session=False))


def _retire_unused(session: Session, tenant_id: str) -> None:
    """Begin to erase people unused for their retention; who is taken up at this moment is locked, and passed by."""
    mine = (Identity.tenant_id == tenant_id, Identity.erasing_at.is_(None), Identity.retention_seconds.is_not(None))
    over = age(Identity.last_active_at) >= Identity.retention_seconds
    found = select(Identity).where(*mine, over).limit(_AT_ONCE).with_for_update(key_share=True, skip_locked=True)
    _retire(session, session.scalars(found).all())


def _retire(session: Session, rows: Sequence[Identity]) -> None:
    for row in rows:
        erasures.begin(session, row, "retention")
    for row in rows:  # only now: the log is locked from its first line on, and nobody is to wait in a circle
        audit.record(session, row.tenant_id, "housekeeping", "identity.erasing", row.id, reason="retention")


def _seconds_left(session: Session, row: Restoration) -> float | None:
    """Return for how long a restoration may be kept from now on; None for as long as its owner likes."""
    kept = restorations.kept_seconds(session, row)
    if kept is None:
        return None
    ended = session.scalar(select(age(Job.finished_at)).where(Job.tenant_id == row.tenant_id, Job.id == row.job_id))
    if ended is None:  # it counts from the end of the job
        return float(kept)
    if row.expires_at is not None:
        row.expires_at = now(kept - ended)
        session.flush()
    return kept - ended
