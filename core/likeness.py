"""How alike two faces are on one scale for every bundle: 0 = as two strangers, 1 = as two photos of one person.

Recognizers differ in where their cosines lie, so a bundle's manifest carries, under `calibration`, what each of its own
gives for strangers and for one person. Both recognizers speak where the bundle has two.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.backbone import Backbone
from core.references import face_embeddings, second_embeddings

# How often each is right and wrong on mini: docs/security/identity-mismatch.md.
STRANGER = 0.0  # below it a face is clearly another person's, where the photo is good enough to tell
DOUBTFUL = 0.5  # below it a face may be another person's
_TELLING = 0.5  # quality from which on a photo is good enough to tell people apart
_DEFAULT_TARGET = 0.6  # cosine of two good photos of one person, where no bundle says otherwise


@dataclass(frozen=True)
class FaceEmbeddings:
    """What both recognizers make of faces, unit length: first (n, D), second (n, D2); D2 = 0 without a second one."""

    first: Tensor
    second: Tensor

    def __len__(self) -> int:
        return len(self.first)


def embed(backbone: Backbone, crops: Tensor) -> FaceEmbeddings:
    """Return both recognizers' embeddings of aligned crops (n, 3, S, S) in [-1, 1], on the CPU."""
    return FaceEmbeddings(face_embeddings(backbone, crops).cpu(), second_embeddings(backbone, crops).cpu())


def likeness(backbone: Backbone, faces: FaceEmbeddings, person: FaceEmbeddings) -> Tensor:
    """Return how alike each of n faces is to the one person (a single row): (n,), 0 = a stranger, 1 = the same."""
    scales = (("first", faces.first, person.first), ("second", faces.second, person.second))
    scores = []
    for name, rows, row in scales:
        if rows.shape[-1] and row.shape[-1]:
            strangers, same = _cosines(backbone, name)
            scores.append(((rows @ row[0]) - strangers) / (same - strangers))
    return torch.stack(scores).mean(0)


def is_strangers(backbone: Backbone, crop: Tensor, alike: float) -> bool:
    """Say whether a crop (3, S, S) in [-1, 1] clearly shows another person; a poor one may be anybody's."""
    if alike >= STRANGER:
        return False
    if backbone.quality is None:
        return True
    (quality,) = backbone.quality.assess(crop[None].to(backbone.device))
    return quality.score >= _TELLING


def doubt(alike: float | None) -> str | None:
    """Return what speaks against it that a face is the person's, by its likeness to the references, or None."""
    if alike is None or alike >= DOUBTFUL:
        return None
    return f"the face may be another person's than the references' ({alike:.2f}; 0 = a stranger, 1 = the same)"


def target_constant(backbone: Backbone) -> float:
    """Return the guidance recognizer's cosine of two good photos of one person, for who has fewer than two."""
    return float(_calibration(backbone).get("target_cosine", _DEFAULT_TARGET))


def _cosines(backbone: Backbone, recognizer: str) -> tuple[float, float]:
    """Return a recognizer's median cosines of strangers and of one person; ArcFace's own scale without calibration."""
    strangers, same = _calibration(backbone).get(recognizer, (0.0, 1.0))
    return float(strangers), float(same)


def _calibration(backbone: Backbone) -> dict[str, Any]:
    calibration: dict[str, Any] = backbone.manifest.get("calibration", {})
    return calibration
