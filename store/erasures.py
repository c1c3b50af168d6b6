"""Erasure: a person's keys are destroyed at once, their objects soon after, and a signed receipt says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, cast, delete, or_, select
from sqlalchemy.orm import Session

from store import adapters, audit, ledger, outbox, people, receipts, references, restorations, uploads, workers
from store.columns import now
from store.models import (
    HELD,
    LIVE,
    Adapter,
    Consent,
    Erasure,
    IdempotencyKey,
    Identity,
    Job,
    Reference,
    Restoration,
    RestorationFace,
    Upload,
)
from store.safe import prefix_of
from store.vault import Vault, destroy_keys

_LIMITS = (
    "Adapters and results that were downloaded before cannot be recalled.",
    "Backups of the database made before hold the destroyed keys until they expire; "
    "restoring one must be followed by repeating this erasure.",
)


@dataclass(frozen=True)
class Plan:
    """Of whom what is left to delete, and whether the last worker has let go."""

    identity_id: str
    prefixes: Sequence[str]
    ready: bool


def begin(session: Session, identity: Identity, reason: str) -> Erasure:
    """Begin to erase a person: when this is committed, no byte of theirs can be read any more."""
    tenant_id = identity.tenant_id
    people.locked(session, tenant_id, identity.id)  # two that come at once are one erasure
    if identity.erasing_at is not None:
        mine = (Erasure.tenant_id == tenant_id, Erasure.identity_id == identity.id)
        return session.scalars(select(Erasure).where(*mine).order_by(Erasure.id).limit(1)).one()
    identity.erasing_at, identity.name = now(), ""
    _forget_subjects(session, tenant_id, identity.id)
    session.flush()
    counts = {"jobs_stopped": _stop_jobs(session, tenant_id, identity.id)}
    counts["restorations"] = _remove_restorations(session, tenant_id, identity.id)
    counts["uploads"] = _remove_uploads(session, tenant_id, identity.id)
    counts["references"] = _bury_references(session, tenant_id, identity.id)
    counts["adapters"] = _bury_adapters(session, tenant_id, identity.id)
    others = counts["restorations"] + counts["uploads"]  # each with a key of its own, which went with it
    counts["keys"] = destroy_keys(session, tenant_id, [identity.id]) + others
    counts["kept_answers"] = _forget_answers(session, tenant_id, identity.id)
    eviction = workers.evict(session, tenant_id, identity.id)
    row = Erasure(
        tenant_id=tenant_id, identity_id=identity.id, reason=reason, counts=counts, eviction=eviction.sequence
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    session.refresh(identity)
    outbox.add(session, tenant_id, "erase", {"id": row.id})
    return row


def plan(session: Session, tenant_id: str, erasure_id: str) -> Plan:
    """Return what is to be deleted; it is ready to be completed when no worker holds anything of it."""
    row = _locked(session, tenant_id, erasure_id)
    identity_id = row.identity_id or ""
    owners = [
        identity_id,
        *_restoration_ids(session, tenant_id, identity_id),
        *_upload_ids(session, tenant_id, identity_id),
    ]
    held = select(Job.id).where(_about(tenant_id, identity_id), Job.state.in_(HELD)).limit(1)
    ready = session.scalar(held) is None and not workers.behind(session, row.eviction or 0)
    if row.state in ("queued", "running"):
        row.state = "verifying" if ready else "running"
    session.flush()
    return Plan(identity_id, [prefix_of(tenant_id, owner) for owner in owners], ready)


def count_deleted(session: Session, tenant_id: str, erasure_id: str, objects: int) -> None:
    """Write down how many more of a person's objects are gone: an erasure may take several tries, and counts all."""
    row = _locked(session, tenant_id, erasure_id)
    row.counts = {**row.counts, "objects": row.counts.get("objects", 0) + objects}
    session.flush()


def complete(session: Session, vault: Vault, tenant_id: str, erasure_id: str) -> Erasure:
    """Sign the receipt, after storage was listed again and found empty; the identity's tombstone stays."""
    row = _locked(session, tenant_id, erasure_id)
    if row.state == "completed":
        return row
    identity = people.locked(session, tenant_id, row.identity_id or "")
    identity.erased_at, identity.name = now(), ""
    _forget_subjects(session, tenant_id, identity.id)  # of an erasure that an older release began
    late = _forget_answers(session, tenant_id, identity.id)  # the withdrawal's own was kept after it had begun
    row.counts = {**row.counts, "kept_answers": row.counts.get("kept_answers", 0) + late}
    row.state, row.finished_at = "completed", datetime.now(UTC)
    row.receipt = receipts.signed(vault, _statement(row))
    session.flush()
    audit.record(session, tenant_id, "housekeeping", "identity.erased", identity.id, erasure_id=row.id)
    data = {"erasure_id": row.id, "identity_id": row.identity_id}
    outbox.add(session, tenant_id, "webhook", {"type": "erasure.completed", "data": data})
    return row


def _locked(session: Session, tenant_id: str, erasure_id: str) -> Erasure:
    """Return an erasure as it is, and keep it so: whoever goes on with it at the same time sees what was done here."""
    return session.get_one(Erasure, {"tenant_id": tenant_id, "id": erasure_id}, with_for_update=True)


def _about(tenant_id: str, identity_id: str) -> Any:
    """Return what selects a person's jobs: their own, and those of photos they are in."""
    faces = select(RestorationFace.restoration_id).where(
        RestorationFace.tenant_id == tenant_id, RestorationFace.identity_id == identity_id
    )
    theirs = or_(Job.identity_id == identity_id, Job.restoration_id.in_(faces))
    return (Job.tenant_id == tenant_id) & theirs


def _stop_jobs(session: Session, tenant_id: str, identity_id: str) -> int:
    mine = select(Job).where(_about(tenant_id, identity_id), Job.state.in_(LIVE))
    jobs = session.scalars(mine.order_by(Job.id).with_for_update()).all()  # as heartbeats lock them
    for job in jobs:
        ledger.cancel(session, job)
    return len(jobs)


def _restoration_ids(session: Session, tenant_id: str, identity_id: str) -> Sequence[str]:
    mine = (RestorationFace.tenant_id == tenant_id, RestorationFace.identity_id == identity_id)
    return session.scalars(
        select(RestorationFace.restoration_id).where(*mine).order_by(RestorationFace.restoration_id)
    ).all()


def _remove_restorations(session: Session, tenant_id: str, identity_id: str) -> int:
    count = 0
    for row_id in _restoration_ids(session, tenant_id, identity_id):
        row = session.get_one(Restoration, {"tenant_id": tenant_id, "id": row_id})
        if row.removed_at is None:
            count += restorations.remove(session, row)
    return count


def _upload_ids(session: Session, tenant_id: str, identity_id: str) -> Sequence[str]:
    """Return the photos sent ahead that were restored with the person in them."""
    jobs = session.scalars(select(Job.options).where(_about(tenant_id, identity_id), Job.kind == "restore"))
    return sorted({str(options["upload_id"]) for options in jobs if options.get("upload_id")})


def _remove_uploads(session: Session, tenant_id: str, identity_id: str) -> int:
    count = 0
    for row_id in _upload_ids(session, tenant_id, identity_id):
        row = session.get(Upload, {"tenant_id": tenant_id, "id": row_id})
        if row is not None and row.removed_at is None:
            uploads.remove(session, row)
            count += 1
    return count


def _bury_references(session: Session, tenant_id: str, identity_id: str) -> int:
    mine = (Reference.tenant_id == tenant_id, Reference.identity_id == identity_id, Reference.removed_at.is_(None))
    rows = session.scalars(select(Reference).where(*mine)).all()
    for row in rows:
        references.bury(row)
    session.flush()
    return len(rows)


def _bury_adapters(session: Session, tenant_id: str, identity_id: str) -> int:
    mine = (Adapter.tenant_id == tenant_id, Adapter.identity_id == identity_id, Adapter.removed_at.is_(None))
    rows = session.scalars(select(Adapter).where(*mine).execution_options(populate_existing=True)).all()
    for row in rows:
        adapters.bury(row)
    session.flush()
    return len(rows)


def _forget_subjects(session: Session, tenant_id: str, identity_id: str) -> None:
    """Leave of the consents that there were some."""
    mine = (Consent.tenant_id == tenant_id, Consent.identity_id == identity_id)
    for consent in session.scalars(select(Consent).where(*mine)):
        consent.subject = consent.attested_by = ""
        consent.withdrawal_reason = None


def _forget_answers(session: Session, tenant_id: str, identity_id: str) -> int:
    """Forget the answers kept for replays that tell of a person, or of a photo sent ahead with them in it."""
    upload_id = Job.options["upload_id"].as_string()
    theirs = select(upload_id).where(_about(tenant_id, identity_id), Job.kind == "restore", upload_id.is_not(None))
    tells = or_(
        cast(IdempotencyKey.body, String).contains(identity_id), IdempotencyKey.body["id"].as_string().in_(theirs)
    )
    done = delete(IdempotencyKey).where(IdempotencyKey.tenant_id == tenant_id, tells).returning(IdempotencyKey.key)
    return len(session.scalars(done.execution_options(synchronize_session=False)).all())


def _statement(row: Erasure) -> dict[str, Any]:
    return {
        "type": "idprefer-erasure-1",
        "erasure_id": row.id,
        "tenant_id": row.tenant_id,
        "identity_id": row.identity_id,
        "reason": row.reason,
        "requested_at": row.created_at.isoformat(),
        "completed_at": row.finished_at.isoformat() if row.finished_at else None,
        "destroyed": {"objects": 0, **row.counts},
        "storage_listed_again": "empty",
        "limits": list(_LIMITS),
    }
