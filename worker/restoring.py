"""Restoration jobs: photos of any tenants out of the safe, one mixed batch, each result back to its own rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from core.backbone import Backbone
from core.errors import Interrupted
from core.images import Photo
from core.matching import Wish
from core.options import RestoreOptions
from core.person import Person
from core.restoration import RestoredFace, pasted, prepare
from store import models, queries, restorations
from store.errors import Gone
from store.vault import OwnerKey
from worker.batches import Part, restore_parts
from worker.comparing import comparison
from worker.labelling import Label, labelled
from worker.outcome import attempt, settle
from worker.people import person_of, photo_of, require_consent
from worker.run import Run


@dataclass(frozen=True)
class _Ready:
    """A restoration whose faces are found and whose people are at hand."""

    run: Run
    key: OwnerKey
    row: models.Restoration
    photo: Photo
    faces: list[models.RestorationFace]  # in the order of the part's
    digests: dict[str, str]  # of the adapters, by their ids
    part: Part


def restore(runs: Sequence[Run]) -> None:
    """Restore several photos in one batch; each run ends by itself, well or badly."""
    found = [attempt(run, partial(_prepared, run)) for run in runs]
    ready = [one for one in found if one is not None]
    if not ready:
        return
    backbone = ready[0].run.parts.networks.backbone

    def progress(step: int, steps: int) -> None:
        for one in ready:
            one.run.progress("restoring", step, steps)

    restore_parts(backbone, [one.part for one in ready], _options(ready[0].row), progress)
    for one in ready:
        attempt(one.run, partial(_publish, backbone, one))


def _prepared(run: Run) -> _Ready:
    """Fetch one photo and its people, and find them in it."""
    assert run.claim.restoration_id is not None, "a restoration names its row"
    with run.tenant(read_only=True) as session:
        row = session.get(models.Restoration, {"tenant_id": run.lease.tenant_id, "id": run.claim.restoration_id})
        faces = [] if row is None else list(queries.faces(session, row))
        digests = _digests(session, run.lease.tenant_id, faces)
    if row is None or row.input_blob is None:
        raise Gone("got a restoration whose photo has been deleted, wanted it there; start it anew")
    require_consent(run, [face.identity_id for face in faces], "restore")
    key = run.key(row.id)
    photo = photo_of(run, key, row.input_blob)
    wishes = [_wish(face, person_of(run, face.identity_id, face.adapter_id), row.seed) for face in faces]
    part = Part(prepare(run.parts.networks.backbone, photo, wishes), partial(_unwanted, run))
    return _Ready(run, key, row, photo, faces, digests, part)


def _digests(session: Session, tenant_id: str, faces: Sequence[models.RestorationFace]) -> dict[str, str]:
    """Return the digests of the adapters that faces are to be restored with."""
    ids = [face.adapter_id for face in faces if face.adapter_id is not None]
    rows = [session.get(models.Adapter, {"tenant_id": tenant_id, "id": adapter_id}) for adapter_id in ids]
    return {row.id: row.digest for row in rows if row is not None and row.digest is not None}


def _wish(face: models.RestorationFace, person: Person, seed: int) -> Wish:
    if face.box is None:
        return Wish(person, seed=seed)
    x0, y0, x1, y1 = face.box
    return Wish(person, box=(x0, y0, x1, y1), seed=seed)


def _unwanted(run: Run) -> bool:
    """Say whether a restoration is to stop; its end is told at once, even where the batch goes on for others."""
    if not run.ended and run.stopped():
        settle(run, Interrupted("stopped between two sampling steps"))
    return run.ended


def _options(row: models.Restoration) -> RestoreOptions:
    """Return the options that a whole batch shares."""
    options = RestoreOptions.preset(row.preset)
    return options if row.fidelity is None else options.with_fidelity(row.fidelity)


def _publish(backbone: Backbone, one: _Ready) -> None:
    """Write one restoration's pictures and point its rows at them."""
    if one.part.failure is not None:
        raise one.part.failure
    run, row = one.run, one.row
    after = pasted(one.photo, one.part.restored)
    parts = run.parts
    credentials = parts.options.content_credentials
    label = Label(parts.safe.vault, row.tenant_id, row.id, backbone.digest, _used(one), credentials)
    data, pixels_sha256 = labelled(after, row.format, label, "result")
    compared = comparison(one.photo, after, [face.evidence.box for face in one.part.restored])
    result = restorations.Result(
        result_blob=run.write(one.key, "result", "image", data),
        comparison_blob=run.write(
            one.key, "comparison", "comparison", labelled(compared, "jpeg", label, "comparison")[0]
        ),
        pixels_sha256=pixels_sha256,
        evidence={
            "made_by_a_model": True,
            "bundle": backbone.name,
            "bundle_digest": backbone.digest,
            "base_digest": backbone.base_digest,
            "seed": row.seed,
            "preset": row.preset,
            "fidelity": row.fidelity,
        },
        faces={
            face.identity_id: ([round(side, 1) for side in restored.evidence.box], _evidence(one, face, restored))
            for face, restored in zip(one.faces, one.part.restored, strict=True)
        },
    )
    with run.tenant() as session:
        restorations.publish(session, run.lease, result, run.metrics(faces=float(len(one.faces))))
    run.succeeded()


def _evidence(one: _Ready, face: models.RestorationFace, restored: RestoredFace) -> dict[str, Any]:
    """Return the evidence of one face, with the adapter it was restored with."""
    return {**restored.evidence.as_dict(), "adapter_digest": one.digests.get(face.adapter_id or "")}


def _used(one: _Ready) -> list[str]:
    """Return the digests of the adapters that painted into the result: not of those the gate turned away."""
    pairs = zip(one.faces, one.part.restored, strict=True)
    painted = [face.adapter_id for face, restored in pairs if restored.evidence.tier == "personalized"]
    return [one.digests[adapter_id] for adapter_id in painted if adapter_id in one.digests]
