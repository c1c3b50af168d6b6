"""The second recognizer, which measures before and after: trained from labels alone, and without the teacher's word.

It takes no part in guidance, so that what guidance talks the first recognizer into does not talk it into anything.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from core.arcface import IResNet
from lab.judges.auc import area_under_curve
from lab.pretrain.data import CropOptions, Photos
from lab.pretrain.data import random_crops as crops_of
from lab.pretrain.recognizer import arcface_crops, embedded, pair_cosines

_MARGIN, _SCALE = 0.35, 32.0  # of CosFace
_CROPS = CropOptions(side=112, rotate=5.0, scale=0.05, shift=0.02, perspective=0.03, light=0.2, colour=0.08)


@dataclass(frozen=True)
class LabelledFaces:
    """Crops (N, 3, 112, 112) in uint8 and the number of the person in each."""

    pixels: Tensor
    people: Tensor


def load_labelled_faces(root: Path, training: Photos) -> LabelledFaces:
    """Read everybody in `recognition/` and the training photos who has two or more pictures."""
    files: dict[str, list[Path]] = defaultdict(list)
    for file in sorted((root / "recognition").glob("*/*.jpg")):
        files[file.parent.name].append(file)
    several = {person: paths for person, paths in files.items() if len(paths) > 1}
    pixels = [np.asarray(Image.open(p).convert("RGB")) for paths in several.values() for p in paths]
    names = [person for person, paths in several.items() for _ in paths]
    repeated = training.where([training.people.count(p) > 1 for p in training.people])
    names += list(repeated.people)
    numbers = {name: i for i, name in enumerate(sorted(set(names)))}
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    return LabelledFaces(
        torch.cat([stacked, arcface_crops(repeated.pixels)]), torch.tensor([numbers[name] for name in names])
    )


class SecondStage:
    """Trains a recognizer with CosFace: class centres that its embeddings must be near, by a margin."""

    name = "second"

    def __init__(self, faces: LabelledFaces, tuning: tuple[Tensor, list[str]], recognizer: IResNet) -> None:
        self._faces, self._tuning, self._recognizer = faces, tuning, recognizer
        with torch.no_grad():
            size = recognizer(torch.zeros(2, 3, 112, 112)).shape[-1]
        self._centres = nn.Linear(size, int(faces.people.max()) + 1, bias=False)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the recognizer and the class centres, which are dropped afterwards."""
        return {"recognizer": self._recognizer, "centres": self._centres}

    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> tuple[Tensor, Tensor, float]:
        """Return crops, the number of the person in each, and the margin, which grows over the first half."""
        index = torch.randint(len(self._faces.pixels), (batch_size,), generator=generator)
        crops = crops_of(self._faces.pixels[index], _CROPS, generator)
        return crops, self._faces.people[index], _MARGIN * min(1.0, 2 * progress)

    def loss(self, batch: tuple[Tensor, Tensor, float]) -> tuple[Tensor, dict[str, float]]:
        """Return CosFace's cross-entropy."""
        crops, people, margin = batch
        embeddings = self._recognizer(crops).float()
        cosine = embeddings @ functional.normalize(self._centres.weight.float(), dim=-1).T
        logits = _SCALE * (cosine - margin * functional.one_hot(people, cosine.shape[-1]))
        right = (cosine.argmax(-1) == people).float().mean()
        return functional.cross_entropy(logits, people), {"right": right.item()}

    def evaluate(self) -> dict[str, float]:
        """Return the verification AUC over all pairs of the tuning people's photos."""
        pixels, people = self._tuning
        return {"auc": area_under_curve(*pair_cosines(embedded(self._recognizer, pixels), people))}
