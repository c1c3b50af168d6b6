"""Reference photos at the door: each is aligned and judged, or refused with the reason; then they are compared.

Low quality alone is no reason to refuse: the Q_i are there for it. What is refused is what would teach the wrong thing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from core.alignment import alignment, crop, ffhq_template, placed
from core.backbone import Backbone
from core.faces import Face
from core.images import Photo
from core.likeness import DOUBTFUL, STRANGER, FaceEmbeddings, embed, likeness
from core.pixels import to_tensor
from core.quality import HIGH_QUALITY, Quality
from core.references import Reference
from core.restoration import SMALLEST_FACE

Reason = Literal[
    "no_face", "multiple_faces", "too_small", "too_blurry_to_find_landmarks", "different_person", "duplicate"
]
_BYSTANDER = 0.25  # of the largest face's area: a smaller one is in the background
_CROOKED = 0.09  # of the crop's side: landmarks farther than this from the template are no face's
_DUPLICATE = 0.02  # mean difference of two crops in [0, 1] at which they are one photo


@dataclass(frozen=True)
class Assessment:
    """What is made of one photo: a reference, or the reason why not, in a word and in a sentence."""

    reference: Reference | None
    embeddings: FaceEmbeddings | None = None  # one row
    reason: Reason | None = None
    explanation: str = ""

    @property
    def accepted(self) -> bool:
        """Say whether the photo can be learned from."""
        return self.reason is None


def assess_photo(backbone: Backbone, photo: Photo) -> Assessment:
    """Find, align and judge the one face of a photo."""
    faces = backbone.detector.detect(photo.pixels)
    if not faces:
        return _refused("no_face", "no face was found; use a photo that shows the face from the front")
    face, *others = faces
    if beside := [other for other in others if other.area > _BYSTANDER * face.area]:
        return _refused("multiple_faces", f"{1 + len(beside)} faces; cut the photo down to the one person")
    if (shorter := min(face.box[2] - face.box[0], face.box[3] - face.box[1])) < SMALLEST_FACE:
        return _refused("too_small", f"the face has {shorter:.0f} px, wanted at least {SMALLEST_FACE} px")
    side = backbone.resolution
    matrix = alignment(face.landmarks, side)
    if _crookedness(face, matrix, side) > _CROOKED:
        return _refused(
            "too_blurry_to_find_landmarks", "eyes, nose and mouth cannot be told apart; use a clearer photo"
        )
    aligned = to_tensor(crop(photo.pixels, matrix, side))
    return Assessment(Reference(aligned, judged(backbone, aligned)), embed(backbone, aligned[None]))


def judged(backbone: Backbone, aligned: torch.Tensor) -> Quality:
    """Return the quality of a crop (3, S, S); a bundle without assessor takes every photo for a good one."""
    if backbone.quality is None:
        return Quality(HIGH_QUALITY, ("sharp",))
    return backbone.quality.assess(aligned[None].to(backbone.device))[0]


def compared(
    backbone: Backbone, assessments: Sequence[Assessment], names: Sequence[str] | None = None
) -> list[Assessment]:
    """Refuse, of photos accepted one by one, those that repeat another or clearly show another person.

    One that may show another person stays accepted, with an explanation that says so. `names` are what the photos are
    called there.

    The person is whom most photos agree on: the photo most like all the others, the better one where two disagree.
    """
    results = list(assessments)
    called = names or [f"number {i + 1}" for i in range(len(results))]
    for i, one in enumerate(results):
        for j, earlier in enumerate(results[:i]):
            if one.accepted and earlier.accepted and _repeats(one, earlier):
                results[i] = replace(one, reason="duplicate", explanation=f"the same photo as {called[j]}")
    known = [i for i, one in enumerate(results) if one.accepted]
    if len(known) < 2:
        return results
    alike = torch.stack([likeness(backbone, _rows(results, known), _rows(results, [i])) for i in known], dim=1)
    scores = torch.tensor([_reference(results[i]).quality.score for i in known])
    middle = int((alike.sum(1) + 1e-3 * scores).argmax())
    for row, i in enumerate(known):
        value = float(alike[row, middle])
        if row != middle and value < STRANGER:
            sentence = f"another person than in {called[known[middle]]}; leave one of them out"
            results[i] = replace(results[i], reason="different_person", explanation=sentence)
        elif row != middle and value < DOUBTFUL:
            sentence = f"perhaps another person than in {called[known[middle]]} ({value:.2f}; 1 = the same)"
            results[i] = replace(results[i], explanation=sentence)
    return results


def accepted_references(assessments: Sequence[Assessment]) -> list[Reference]:
    """Return what can be learned from, in order."""
    return [_reference(one) for one in assessments if one.accepted]


def _refused(reason: Reason, explanation: str) -> Assessment:
    return Assessment(None, reason=reason, explanation=explanation)


def _reference(assessment: Assessment) -> Reference:
    assert assessment.reference is not None, "an accepted photo is a reference"
    return assessment.reference


def _rows(assessments: Sequence[Assessment], which: Sequence[int]) -> FaceEmbeddings:
    chosen = [e for e in (assessments[i].embeddings for i in which) if e is not None]
    return FaceEmbeddings(torch.cat([e.first for e in chosen]), torch.cat([e.second for e in chosen]))


def _crookedness(face: Face, matrix: np.ndarray, side: int) -> float:
    """Return how far landmarks lie from the template after alignment, root mean square, as a share of the side."""
    away = placed(matrix, face.landmarks) - ffhq_template(side)
    return float(np.sqrt((away**2).sum(1).mean()) / side)


def _repeats(one: Assessment, other: Assessment) -> bool:
    difference = (_reference(one).crop - _reference(other).crop).abs().mean() / 2
    return float(difference) < _DUPLICATE
