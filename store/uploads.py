"""Uploads: photos sent ahead, each under a data key of its own, for a day or as the tenant's schedule says."""

from sqlalchemy.orm import Session

from store import outbox
from store.columns import DAY_SECONDS, now
from store.models import Tenant, Upload
from store.photos import Picture
from store.safe import Safe, prefix_of
from store.vault import destroy_keys


def add(session: Session, safe: Safe, tenant_id: str, photo: Picture) -> Upload:
    """Keep a photo for its time."""
    seconds = (session.get_one(Tenant, tenant_id).uploads_days or 1) * DAY_SECONDS
    row = Upload(
        tenant_id=tenant_id,
        width=photo.width,
        height=photo.height,
        size_bytes=len(photo.data),
        sha256=photo.sha256,
        expires_at=now(seconds),
    )
    session.add(row)
    session.flush()
    row.blob = safe.put(session, tenant_id, row.id, "upload", row.id, photo.data)
    outbox.add(session, tenant_id, "expire", {"id": row.id}, seconds)
    session.flush()
    session.refresh(row)
    return row


def remove(session: Session, row: Upload) -> None:
    """Forget a photo: its key at once, its object soon."""
    destroy_keys(session, row.tenant_id, [row.id])
    outbox.add(session, row.tenant_id, "delete_blobs", {"prefix": prefix_of(row.tenant_id, row.id)})
    row.removed_at = now()
    row.blob = row.sha256 = None
    session.flush()
