"""Restorations: one photo, the people to restore in it, the result and its evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import consents, ledger, outbox, people, queries, references, workers
from store.columns import DAY_SECONDS, now
from store.errors import NoAdapter, NoUsableReference
from store.ids import new_id
from store.leases import Lease
from store.models import Adapter, Identity, Job, Restoration, RestorationFace, Tenant
from store.safe import Safe, prefix_of
from store.vault import destroy_keys

Box = tuple[float, ...]


@dataclass(frozen=True)
class Face:
    """One person to restore, and where they are, if that is known."""

    identity: Identity
    box: Box | None = None


@dataclass(frozen=True)
class Settings:
    """How to restore; `expires_in` counts from completion."""

    tier: str = "auto"
    preset: str = "balanced"
    fidelity: float | None = None
    seed: int = 0
    format: str = "png"
    expires_in: int | None = None
    deadline_seconds: int | None = None


@dataclass(frozen=True)
class Result:
    """What a worker made; `faces` holds the box and the evidence of each identity."""

    result_blob: str
    comparison_blob: str | None
    pixels_sha256: str | None
    evidence: Mapping[str, Any]
    faces: Mapping[str, tuple[Sequence[float] | None, Mapping[str, Any]]]


def start(session: Session, tenant_id: str, faces: Sequence[Face], settings: Settings) -> Restoration:
    """Queue a restoration; each person's adapter is settled here, so that nothing falls back silently later."""
    require_consents(session, faces)
    adapters = [_adapter(session, face.identity, settings.tier) for face in faces]
    row = Restoration(
        tenant_id=tenant_id, job_id=new_id("job"), tier=settings.tier, preset=settings.preset,
        fidelity=settings.fidelity, seed=settings.seed, format=settings.format, expires_in=settings.expires_in,
        tier_used="personalized" if all(adapters) else "instant",
    )  # fmt: skip
    session.add(row)
    session.flush()
    for position, (face, adapter) in enumerate(zip(faces, adapters, strict=True)):
        person = RestorationFace(tenant_id=tenant_id, restoration_id=row.id, identity_id=face.identity.id)
        person.position, person.adapter_id = position, adapter.id if adapter else None
        person.box = list(face.box) if face.box else None
        session.add(person)
        people.touch(session, tenant_id, face.identity.id)
    names = ("tier", "preset", "fidelity", "seed", "format")
    job = Job(
        tenant_id=tenant_id, id=row.job_id, kind="restore", restoration_id=row.id,
        identity_id=faces[0].identity.id if len(faces) == 1 else None,
        options={name: getattr(settings, name) for name in names},
        batch_key=f"{settings.preset} {settings.fidelity}",
        warm_key=next((adapter.id for adapter in adapters if adapter), None),
    )  # fmt: skip
    ledger.enqueue(session, job, settings.deadline_seconds)
    seconds = kept_seconds(session, row)
    if seconds is not None:
        outbox.add(session, tenant_id, "expire", {"id": row.id}, seconds)
    session.refresh(row)
    return row


def require_consents(session: Session, faces: Sequence[Face]) -> None:
    """ConsentRequired where one of these people has not agreed to be restored; StateConflict for who is not free."""
    for face in sorted(faces, key=lambda face: face.identity.id):  # in this order: nobody waits in a circle
        consents.require(session, face.identity, "restore")


def keep_input(session: Session, safe: Safe, row: Restoration, data: bytes, upload_id: str | None = None) -> None:
    """Keep the photo to restore, under the restoration's own data key, and which upload it came from, if from one."""
    if upload_id is not None:  # whoever erases a person in it has to find the upload too
        job = session.get_one(Job, {"tenant_id": row.tenant_id, "id": row.job_id})
        job.options = {**job.options, "upload_id": upload_id}
    row.input_blob = safe.put(session, row.tenant_id, row.id, "input", row.job_id, data)
    session.flush()


def publish(session: Session, lease: Lease, result: Result, metrics: dict[str, float]) -> Restoration:
    """Publish what a worker made of a photo."""
    job = ledger.succeed(session, lease, metrics)
    row = session.get_one(Restoration, {"tenant_id": lease.tenant_id, "id": job.restoration_id})
    row.result_blob, row.comparison_blob = result.result_blob, result.comparison_blob
    row.pixels_sha256, row.evidence = result.pixels_sha256, dict(result.evidence)
    for face in queries.faces(session, row):
        if face.identity_id in result.faces:
            box, evidence = result.faces[face.identity_id]
            face.box, face.evidence = list(box) if box is not None else face.box, dict(evidence)
    seconds = kept_seconds(session, row)
    if seconds is not None:
        row.expires_at = now(seconds)
    data = {"restoration_id": row.id, "job_id": job.id}
    outbox.add(session, row.tenant_id, "webhook", {"type": "restoration.ready", "data": data})
    session.flush()
    session.refresh(row)
    return row


def upgrade_available(session: Session, row: Restoration) -> bool:
    """Whether somebody in it was restored without an adapter, and has one by now."""
    plain = [face.identity_id for face in queries.faces(session, row) if face.adapter_id is None]
    active = (Adapter.tenant_id == row.tenant_id, Adapter.identity_id.in_(plain), Adapter.active.is_(True))
    return bool(plain) and session.scalar(select(Adapter.id).where(*active).limit(1)) is not None


def by_pixels(session: Session, tenant_id: str, digest: str) -> Restoration | None:
    """Return the restoration whose result has exactly these pixels."""
    same = (Restoration.tenant_id == tenant_id, Restoration.pixels_sha256 == digest, Restoration.removed_at.is_(None))
    return session.scalars(select(Restoration).where(*same).order_by(Restoration.id.desc()).limit(1)).one_or_none()


def remove(session: Session, row: Restoration) -> bool:
    """Destroy a restoration: its job stops, its key goes at once, its objects soon; a tombstone stays.

    Returns whether it was still there.
    """
    ledger.stop(session, row.tenant_id, row.job_id)
    session.refresh(row, with_for_update={"key_share": True})  # what was published meanwhile is to go too
    if row.removed_at is not None:
        return False
    destroy_keys(session, row.tenant_id, [row.id])
    outbox.add(session, row.tenant_id, "delete_blobs", {"prefix": prefix_of(row.tenant_id, row.id)})
    for face in queries.faces(session, row):
        face.box, face.evidence = None, {}
    row.removed_at = now()
    row.input_blob = row.result_blob = row.comparison_blob = row.pixels_sha256 = None
    row.evidence = {}
    session.flush()
    return True


def kept_seconds(session: Session, row: Restoration) -> int | None:
    """Return the shortest of all retentions that hold for a restoration, counted from the end of its job."""
    own = [face.identity_id for face in queries.faces(session, row)]
    mine = (Identity.tenant_id == row.tenant_id, Identity.id.in_(own))
    limits = [row.expires_in, *session.scalars(select(Identity.retention_seconds).where(*mine))]
    days = session.get_one(Tenant, row.tenant_id).restorations_days
    limits.append(None if days is None else round(days * DAY_SECONDS))
    return min((limit for limit in limits if limit is not None), default=None)


def _adapter(session: Session, identity: Identity, tier: str) -> Adapter | None:
    """Return the adapter that a person is restored with; None for the instant tier."""
    adapter = None
    if tier != "instant":
        active = (Adapter.tenant_id == identity.tenant_id, Adapter.identity_id == identity.id, Adapter.active.is_(True))
        adapter = session.scalars(select(Adapter).where(*active)).one_or_none()
    if adapter is not None:
        workers.require_base(session, adapter.bundle_digest)
        return adapter
    if tier == "personalized":
        raise NoAdapter("got an identity without an active adapter, wanted one; train it, or ask for the tier auto")
    if not references.accepted(session, identity.tenant_id, identity.id):
        raise NoUsableReference("got an identity without an accepted photo, wanted one or more; add references first")
    return None
