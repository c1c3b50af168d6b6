"""Reference photos: kept sealed, judged by a worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import consents, ledger, outbox, people
from store.columns import now
from store.leases import Lease
from store.models import Identity, Job, Reference
from store.photos import Picture
from store.safe import Safe


@dataclass(frozen=True)
class Verdict:
    """What an assessor says of a photo; `face_blob` is what it found, sealed, for trainings to come."""

    accepted: bool
    reasons: Sequence[str] = ()
    advice: str | None = None
    quality_score: float | None = None
    quality_words: Sequence[str] = field(default_factory=tuple)
    face_blob: str | None = None


def add(session: Session, safe: Safe, identity: Identity, photo: Picture) -> Reference:
    """Keep a photo and have it judged; the very same file again is a duplicate at once."""
    consents.require(session, identity, "train")
    tenant_id = identity.tenant_id
    row = Reference(
        tenant_id=tenant_id,
        identity_id=identity.id,
        width=photo.width,
        height=photo.height,
        filename=photo.filename,
        sha256=photo.sha256,
    )
    same = (
        Reference.sha256 == photo.sha256,
        Reference.removed_at.is_(None),
        Reference.state.in_(("checking", "accepted")),
    )
    is_duplicate = session.scalar(_of(tenant_id, identity.id).where(*same).limit(1)) is not None
    session.add(row)
    session.flush()
    if is_duplicate:
        row.verdict, row.reasons = "rejected", ["duplicate"]
        row.advice = "The same file is there already; add another photo of the person."
    else:
        row.blob = safe.put(session, tenant_id, identity.id, "reference", row.id, photo.data)
        job = Job(tenant_id=tenant_id, kind="assess", identity_id=identity.id, reference_id=row.id)
        row.job_id = ledger.enqueue(session, job).id
    people.touch(session, tenant_id, identity.id)
    session.flush()
    session.refresh(row)
    return row


def judge(session: Session, lease: Lease, verdict: Verdict, metrics: dict[str, float]) -> Reference:
    """Publish the verdict on a photo."""
    job = ledger.succeed(session, lease, metrics)
    row = session.get_one(Reference, {"tenant_id": lease.tenant_id, "id": job.reference_id})
    row.verdict = "accepted" if verdict.accepted else "rejected"
    row.reasons = list(verdict.reasons)
    row.advice = verdict.advice
    row.quality_score = verdict.quality_score
    row.quality_words = list(verdict.quality_words)
    row.face_blob = verdict.face_blob
    session.flush()
    data: dict[str, Any] = {"reference_id": row.id, "identity_id": row.identity_id, "reasons": row.reasons}
    outbox.add(session, lease.tenant_id, "webhook", {"type": f"reference.{row.verdict}", "data": data})
    return row


def accepted(session: Session, tenant_id: str, identity_id: str) -> Sequence[Reference]:
    """Return the photos of a person that can be used, the first one first."""
    usable = (Reference.verdict == "accepted", Reference.removed_at.is_(None))
    return session.scalars(_of(tenant_id, identity_id).where(*usable).order_by(Reference.id)).all()


def remove(session: Session, row: Reference) -> bool:
    """Delete a photo; a tombstone without anything personal stays. Returns whether it was still there."""
    ledger.stop(session, row.tenant_id, row.job_id)
    session.refresh(row, with_for_update={"key_share": True})  # what was judged meanwhile is to go too
    if row.removed_at is not None:
        return False
    for blob in (row.blob, row.face_blob):
        if blob is not None:
            outbox.add(session, row.tenant_id, "delete_blobs", {"prefix": blob})
    bury(row)
    session.flush()
    return True


def bury(row: Reference) -> None:
    """Leave of a photo's row what is not personal."""
    row.removed_at = now()
    row.blob = row.face_blob = row.filename = row.sha256 = row.advice = row.quality_score = None
    row.reasons, row.quality_words = [], []


def _of(tenant_id: str, identity_id: str) -> Any:
    return select(Reference).where(Reference.tenant_id == tenant_id, Reference.identity_id == identity_id)
