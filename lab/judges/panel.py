"""Face recognizers that judge restorations, each saying what part it took in making them.

The judge of a published figure took part in neither guidance, gate nor training; a teacher has taken part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from core.arcface import to_arcface_frame
from core.backbone import Backbone
from core.errors import InvalidOption
from core.references import second_embeddings
from lab.judges.auc import area_under_curve, photo_pairs
from lab.judges.dlib_resnet import DlibResnet
from lab.judges.faceres import BATCH, FaceRes

NAMES = ("faceres", "dlib", "gate")
HEADLINE_AUC = 0.93  # a judge below it carries no headline


class Judge(Protocol):
    """Whatever tells how alike two faces are."""

    @property
    def name(self) -> str:
        """Return what it is called."""

    @property
    def part(self) -> str | None:
        """Return the part it took in making the pictures; None: none."""

    def embed(self, crops: Tensor) -> Tensor:
        """Turn FFHQ-frame crops (n, 3, S, S) in [-1, 1] into embeddings (n, D)."""

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return how alike embeddings (..., D) are, row by row; 1 = equal."""


class FaceResJudge:
    """FaceRes: nobody here trained it, and nothing here was trained by it."""

    name, part = "faceres", None

    def __init__(self, model: Path) -> None:
        self._network = FaceRes(model)

    def embed(self, crops: Tensor) -> Tensor:
        """Turn crops into unit embeddings."""
        return torch.cat([self._network(part.float().cpu()) for part in crops.split(BATCH)])

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cosine."""
        return (a * b).sum(-1)


class DlibJudge:
    """dlib's recognizer, whose embeddings are not centred: 1 - Euclidean distance."""

    name, part = "dlib", "teacher of the guidance recognizer"

    def __init__(self) -> None:
        self._network = DlibResnet()

    def embed(self, crops: Tensor) -> Tensor:
        """Turn crops into embeddings."""
        return torch.cat([self._network(to_arcface_frame(part.float().cpu())) for part in crops.split(BATCH)])

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return 1 - distance."""
        return 1 - (a - b).norm(dim=-1)


class GateJudge:
    """The bundle's second recognizer: it measures before and after, and the gate follows it."""

    name, part = "gate", "gate of the restorations"

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def embed(self, crops: Tensor) -> Tensor:
        """Turn crops into unit embeddings."""
        return torch.cat([second_embeddings(self._backbone, part).cpu() for part in crops.split(BATCH)])

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cosine."""
        return (a * b).sum(-1)


def load_judges(names: Sequence[str], weights: Path, backbone: Backbone) -> list[Judge]:
    """Return the judges of the given names; `gate` only where the bundle has a second recognizer."""
    makers: dict[str, Callable[[], Judge]] = {
        "faceres": lambda: FaceResJudge(weights),
        "dlib": DlibJudge,
        "gate": lambda: GateJudge(backbone),
    }
    if unknown := [name for name in names if name not in makers]:
        raise InvalidOption(f"got judge {unknown[0]!r}, wanted one of {', '.join(NAMES)}")
    without_gate = backbone.second_recognizer is None
    return [makers[name]() for name in names if not (name == "gate" and without_gate)]


@dataclass(frozen=True)
class Standing:
    """How good a judge is at telling people apart, on clean photos of people no network was trained on."""

    auc: float | None  # of verification, over all pairs of photos; None, as below, where there are no such pairs
    same: float | None  # mean similarity of two photos of one person
    strangers: float | None  # mean similarity of photos of two people
    photos: int


def standing(judge: Judge, embeddings: Tensor, people: Sequence[str]) -> Standing:
    """Measure a judge on the embeddings (n, D) it gave to photos, with the person in each."""
    rows, columns, same = photo_pairs(people)
    similarity = judge.similarity(embeddings[rows], embeddings[columns]).double().numpy()
    alike, apart = similarity[same], similarity[~same]
    auc = area_under_curve(alike, apart) if len(alike) and len(apart) else None
    same_mean, strangers_mean = (float(values.mean()) if len(values) else None for values in (alike, apart))
    return Standing(auc, same_mean, strangers_mean, len(people))


def carries_headline(judge: Judge, found: Standing) -> bool:
    """Say whether a judge's similarity may be published as ID."""
    return judge.part is None and found.auc is not None and found.auc >= HEADLINE_AUC
