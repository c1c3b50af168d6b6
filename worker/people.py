"""Rows and blobs of people -> what core knows of them: references, and persons by adapter or by references alone."""

from collections.abc import Sequence

from core.adapter_file import unpack_adapter
from core.assessment import Assessment, assess_photo
from core.backbone import Backbone
from core.errors import NoUsableReference
from core.images import Photo, read_photo
from core.injector import Adapter
from core.person import Person, person_of_adapter, person_of_references
from core.references import Reference
from store import consents, models, references
from store.errors import Gone
from store.vault import OwnerKey
from worker.run import Run


def require_consent(run: Run, identity_ids: Sequence[str], purpose: str) -> None:
    """ConsentRequired where a person's consent has run out since the job was queued."""
    with run.tenant(read_only=True) as session:
        for identity_id in sorted(identity_ids):  # each is locked, always in this order: nobody waits in a circle
            row = session.get_one(models.Identity, {"tenant_id": run.lease.tenant_id, "id": identity_id})
            consents.require(session, row, purpose)


def assessments_of(run: Run, identity_id: str, only: Sequence[str] | None = None) -> list[Assessment]:
    """Return a person's accepted photos as they are assessed, the oldest first; `only` these of them."""
    run.held.owners.add(identity_id)
    with run.tenant(read_only=True) as session:
        rows = references.accepted(session, run.lease.tenant_id, identity_id)
    rows = sorted((row for row in rows if only is None or row.id in only), key=lambda row: row.id)
    if not rows:
        return []
    key = run.key(identity_id)
    backbone = run.parts.networks.backbone
    cache = run.parts.caches.references
    return [cache.get(row.id, identity_id, lambda row=row: _assessed(run, backbone, key, row)) for row in rows]  # type: ignore[misc]


def references_of(run: Run, identity_id: str, only: Sequence[str] | None = None) -> list[Reference]:
    """Return what can be learned from a person's accepted photos."""
    found = [assessment.reference for assessment in assessments_of(run, identity_id, only)]
    return [reference for reference in found if reference is not None]


def person_of(run: Run, identity_id: str, adapter_id: str | None) -> Person:
    """Return a person by the adapter that the job names, or else by the photos alone."""
    backbone = run.parts.networks.backbone
    if adapter_id is not None:
        return person_of_adapter(backbone, _adapter(run, backbone, identity_id, adapter_id))
    photos = references_of(run, identity_id)
    if not photos:
        raise NoUsableReference("got a person without an accepted photo, wanted at least one; add photos")
    return person_of_references(backbone, photos)


def photo_of(run: Run, key: OwnerKey, blob: str) -> Photo:
    """Return a photo that the front desk took in."""
    return read_photo(run.safe.read(key, blob), limit_bytes=None)


def _assessed(run: Run, backbone: Backbone, key: OwnerKey, row: models.Reference) -> Assessment:
    assert row.blob is not None, "an accepted photo is there"
    return assess_photo(backbone, photo_of(run, key, row.blob))


def _adapter(run: Run, backbone: Backbone, identity_id: str, adapter_id: str) -> Adapter:
    run.held.owners |= {identity_id, adapter_id}
    return run.parts.caches.adapters.get(adapter_id, identity_id, lambda: _read(run, backbone, identity_id, adapter_id))


def _read(run: Run, backbone: Backbone, identity_id: str, adapter_id: str) -> Adapter:
    with run.tenant(read_only=True) as session:
        row = session.get(models.Adapter, {"tenant_id": run.lease.tenant_id, "id": adapter_id})
    if row is None or row.blob is None:
        raise Gone("got an adapter that has been deleted since, wanted one that is there; start the restoration anew")
    return unpack_adapter(run.safe.read(run.key(identity_id), row.blob), backbone)
