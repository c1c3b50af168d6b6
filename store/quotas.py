"""Quotas: how many of anything a tenant may have, and where a count decides, that nobody counts beside it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from store.errors import QuotaExceeded
from store.models import Reference, TenantShare, Upload
from store.photos import Picture

# Requests of one tenant that may count at the same time; whoever is further from the limit waits for none of them.
_BESIDE = 100


@dataclass(frozen=True)
class Stored:
    """How much of what waits to be used one tenant may keep."""

    upload_bytes: int
    references: int


def has_room(session: Session, tenant_id: str, there: Select[Any], limit: int, more: int = 1) -> bool:
    """Whether so many more fit; near the limit the tenant's share is locked, until what is counted is committed."""
    count = session.scalar(there) or 0
    if limit - (1 + _BESIDE) * more < count <= limit - more:
        share = select(TenantShare.tenant_id).where(TenantShare.tenant_id == tenant_id)
        session.execute(share.with_for_update())
        count = session.scalar(there) or 0
    return bool(count <= limit - more)


def require_upload(session: Session, tenant_id: str, stored: Stored, photo: Picture) -> None:
    """QuotaExceeded where a photo sent ahead does not fit beside those that are there."""
    there = select(func.sum(Upload.size_bytes)).where(Upload.tenant_id == tenant_id, Upload.removed_at.is_(None))
    if not has_room(session, tenant_id, there, stored.upload_bytes, len(photo.data)):
        raise QuotaExceeded(
            f"got a photo that would make the uploads more than {stored.upload_bytes:,} bytes, wanted no more; "
            "wait until some have had their time"
        )


def require_references(session: Session, tenant_id: str, stored: Stored, count: int) -> None:
    """QuotaExceeded where so many reference photos do not fit beside those that are there."""
    mine = (Reference.tenant_id == tenant_id, Reference.removed_at.is_(None))
    if not has_room(session, tenant_id, select(func.count()).where(*mine), stored.references, count):
        raise QuotaExceeded(
            f"got {count} photos that would make the references more than {stored.references:,}, wanted no more; "
            "delete some that nobody needs"
        )
