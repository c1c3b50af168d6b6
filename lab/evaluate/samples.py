"""Free samples of a bundle, without any input: do the quality words mean something, and is any of them a copy?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.backbone import Backbone
from core.errors import InvalidOption
from core.likeness import embed
from core.options import RestoreOptions
from core.sampling import FaceCondition, sample
from core.tokens import encode_prompt, word_vectors
from lab.judges.auc import area_under_curve

BATCH = 8  # faces at a time


@dataclass(frozen=True)
class Neighbour:
    """The training photo nearest to a sample."""

    index: int  # of the photo
    similarity: float  # guidance recognizer's cosine
    pixel_distance: float  # root mean square in [0, 1], of the two at a quarter of their side; a copy has about 0


@torch.no_grad()
def free_samples(backbone: Backbone, words: Sequence[str], seeds: Sequence[int], steps: int = 30) -> Tensor:
    """Return one face (n, 3, S, S) in [-1, 1] for each seed, of nobody in particular, prompted with quality words."""
    options = RestoreOptions(steps=steps, control_scale=0.0, start="noise", guidance=False, colour_fix=False)
    prompt = encode_prompt(backbone, quality=word_vectors(backbone, words))
    nothing = torch.zeros(1, 3, backbone.resolution, backbone.resolution)  # which the ControlNet's scale hides
    made = []
    for start in range(0, len(seeds), BATCH):
        conditions = [FaceCondition(seed, prompt) for seed in seeds[start : start + BATCH]]
        made.append(sample(backbone, nothing.expand(len(conditions), -1, -1, -1), conditions, options).cpu())
    return torch.cat(made)


def told_apart(backbone: Backbone, sharp: Tensor, blurry: Tensor) -> float:
    """Return how often the bundle's assessor gives a sharp sample a better score than a blurry one."""
    if backbone.quality is None:
        raise InvalidOption(f"got bundle {backbone.name}, which has no quality assessor; wanted one that has")
    scores = [[quality.score for quality in backbone.quality.assess(x)] for x in (sharp, blurry)]
    return area_under_curve(np.array(scores[0]), np.array(scores[1]))


def embedded(backbone: Backbone, crops: Tensor) -> Tensor:
    """Return the guidance recognizer's embeddings (n, D) of crops (n, 3, S, S)."""
    return torch.cat([embed(backbone, part).first for part in crops.split(BATCH)])


def neighbours(backbone: Backbone, made: Tensor, training: Tensor) -> list[Neighbour]:
    """Return each sample's nearest training photo (n, 3, S, S), by the recognizer."""
    similarity = embedded(backbone, made) @ embedded(backbone, training).T
    found = []
    for face, row in zip(made, similarity, strict=True):
        index = int(row.argmax())
        found.append(Neighbour(index, float(row[index]), _distance(face, training[index])))
    return found


def _distance(a: Tensor, b: Tensor) -> float:
    small = [torch.nn.functional.avg_pool2d((x[None] + 1) / 2, 4) for x in (a, b)]
    return float((small[0] - small[1]).square().mean().sqrt())
