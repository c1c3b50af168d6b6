"""A photo of two people on a bundle of random networks, and who is in it."""

from dataclasses import replace

import numpy as np

from core.backbone import Backbone
from core.images import Photo
from core.injector import Adapter
from core.matching import Wish
from core.options import RestoreOptions
from core.person import Person, person_of_adapter, person_of_references
from core.quality import Quality
from core.references import Reference
from core.restoration import RestoredFace, pasted, prepare, restore_faces

QUICK = RestoreOptions(steps=2, gate=False)  # random networks make everything worse
GATED = replace(QUICK, gate=True)
LEFT, RIGHT = (112, 176), (368, 176)  # places of two faces in a photo of 480x320
# 480x320 is seen at 640 px, where a face has 192 px: about 144 px here.
LEFT_BOX = (40.0, 104.0, 184.0, 248.0)


def person_in(backbone: Backbone, photo: Photo, face: int, adapter: Adapter | None = None) -> Person:
    """Return the person whom a face of a photo shows, as known from that very face."""
    (prepared,) = prepare(backbone, photo, [Wish(face=face)])
    references = [Reference(prepared.lq, Quality(0.9, ("sharp",)))]
    if adapter is None:
        return person_of_references(backbone, references)
    return person_of_adapter(backbone, adapter, references)


def calibrated(backbone: Backbone, photo: Photo) -> Backbone:
    """Return the bundle with recognizers calibrated so that the two faces of the photo are strangers to each other."""
    left, right = prepare(backbone, photo, [Wish(face=0), Wish(face=1)])
    cosines = {
        name: float(getattr(left.embeddings, name)[0] @ getattr(right.embeddings, name)[0])
        for name in ("first", "second")
    }
    calibration = {name: [cosine, 1.0] for name, cosine in cosines.items()}
    return rewritten(backbone, calibration)


def rewritten(backbone: Backbone, calibration: dict[str, list[float]]) -> Backbone:
    """Return the bundle with another calibration, sharing its detector."""
    other = replace(backbone, manifest=backbone.manifest | {"calibration": calibration})
    other.__dict__["detector"] = backbone.detector
    return other


def changed(before: Photo, after: Photo) -> np.ndarray:
    """Return where two photos differ, (H, W) bool."""
    return (before.pixels != after.pixels).any(-1)


def restored_photo(backbone: Backbone, photo: Photo, wishes: list[Wish]) -> tuple[Photo, list[RestoredFace]]:
    """Run the whole main job."""
    restored = restore_faces(backbone, prepare(backbone, photo, wishes), QUICK)
    return pasted(photo, restored), restored
