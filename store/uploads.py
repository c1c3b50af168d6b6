"""Uploads: photos sent ahead, each under a data key of its own, for a day."""

from sqlalchemy.orm import Session

from store import outbox
from store.columns import now
from store.models import Upload
from store.photos import Picture
from store.safe import Safe, prefix_of
from store.vault import destroy_keys

KEPT_SECONDS = 24 * 3600.0


def add(session: Session, safe: Safe, tenant_id: str, photo: Picture) -> Upload:
    """Keep a photo for a day."""
    row = Upload(
        tenant_id=tenant_id,
        width=photo.width,
        height=photo.height,
        size_bytes=len(photo.data),
        sha256=photo.sha256,
        expires_at=now(KEPT_SECONDS),
    )
    session.add(row)
    session.flush()
    row.blob = safe.put(session, tenant_id, row.id, "upload", row.id, photo.data)
    outbox.add(session, tenant_id, "expire", {"id": row.id}, KEPT_SECONDS)
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
