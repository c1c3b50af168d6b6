"""A person's reference photos as a training uses them: judged, embedded, encoded into latents once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.arcface import to_arcface_frame
from core.backbone import Backbone
from core.degradation import degrade, draw
from core.errors import NoUsableReference
from core.quality import HIGH_QUALITY, Quality

_VERSIONS = 8  # crops kept of each reference, every other one mirrored
_TURN, _SCALE, _SHIFT = 0.05, 0.05, 0.02  # radians, log scale, share of half the side: standard deviations


@dataclass(frozen=True)
class Reference:
    """One aligned reference photo."""

    crop: Tensor  # (3, S, S) in [-1, 1], in the FFHQ frame
    quality: Quality


@dataclass(frozen=True)
class DegradedTwins:
    """Every crop of the references once more, degraded as an input might be."""

    hints: Tensor  # (n, versions, 3, S, S) in [0, 1], as the ControlNet takes pictures
    means: Tensor  # (n, versions, C, h, w): their latents


@dataclass(frozen=True)
class EncodedReferences:
    """The references as latents of several crops each, with what the recognizers make of them."""

    pictures: Tensor  # (n, versions, 3, S, S): what the latents show
    means: Tensor  # (n, versions, C, h, w): the VAE posterior's mean, scaled
    stds: Tensor  # the same, its standard deviation
    embeddings: Tensor  # (n, D) unit: the guidance recognizer's
    scores: Tensor  # (n,) quality in [0, 1]
    degraded: DegradedTwins | None = None  # where the ControlNet takes part in a training


@torch.no_grad()
def encode_references(
    backbone: Backbone, references: Sequence[Reference], generator: torch.Generator, *, degraded: bool = False
) -> EncodedReferences:
    """Encode several random crops of every reference, with degraded twins if asked for.

    The networks see each photo once in a training.
    """
    pictures, means, stds = [], [], []
    for reference in references:
        crops = _versions(reference.crop.cpu(), generator).to(backbone.device)
        posterior = backbone.vae.encode(crops.to(backbone.vae.dtype)).latent_dist
        scale = backbone.vae.config.scaling_factor
        pictures.append(crops)
        means.append(posterior.mean.float() * scale)
        stds.append(posterior.std.float() * scale)
    scores = torch.tensor([r.quality.score for r in references], device=backbone.device)
    embeddings = face_embeddings(backbone, torch.stack([r.crop for r in references]))
    twins = _twins(backbone, torch.stack(pictures), generator) if degraded else None
    return EncodedReferences(torch.stack(pictures), torch.stack(means), torch.stack(stds), embeddings, scores, twins)


def _twins(backbone: Backbone, pictures: Tensor, generator: torch.Generator) -> DegradedTwins:
    """Degrade and encode pictures (n, versions, 3, S, S)."""
    crops = pictures.flatten(0, 1)
    lq = torch.stack([degrade(x, draw(generator, None), generator) for x in crops.cpu()]).to(backbone.device)
    latents = torch.cat([backbone.encode(part.to(backbone.dtype)).float() for part in lq.split(_VERSIONS)])
    hints = ((lq + 1) / 2).to(backbone.dtype)
    return DegradedTwins(hints.unflatten(0, pictures.shape[:2]), latents.unflatten(0, pictures.shape[:2]))


@torch.no_grad()
def face_embeddings(backbone: Backbone, crops: Tensor) -> Tensor:
    """Return the guidance recognizer's unit embeddings (n, D) of aligned crops (n, 3, S, S) in [-1, 1]."""
    return backbone.recognizer(to_arcface_frame(crops.to(backbone.device).float())).float()


@torch.no_grad()
def second_embeddings(backbone: Backbone, crops: Tensor) -> Tensor:
    """Return the second recognizer's unit embeddings (n, D2) of aligned crops; (n, 0) where the bundle has none."""
    if backbone.second_recognizer is None:
        return torch.zeros(len(crops), 0, device=backbone.device)
    return backbone.second_recognizer(to_arcface_frame(crops.to(backbone.device).float())).float()


def mean_identity(embeddings: Tensor, scores: Tensor) -> Tensor:
    """Return the quality-weighted mean (D,) of embeddings (n, D), at unit length."""
    weights = scores.clamp_min(1e-3)[:, None]
    return functional.normalize((embeddings * weights).sum(0), dim=0)


def held_out_reference(scores: Sequence[float]) -> int | None:
    """Return which reference is to be kept out of a training so as to judge it, or None.

    The second best of the HQ ones; where there are fewer than two of those, the best of the others, if two or more
    references are left to learn from; never the only HQ one.
    """
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    if len(order) >= 2 and scores[order[1]] >= HIGH_QUALITY:
        return order[1]
    others = [i for i in order if scores[i] < HIGH_QUALITY]
    return others[0] if len(order) >= 3 and others else None


def target_cosine(embeddings: Tensor, scores: Tensor, constant: float) -> float:
    """Return how alike two good photos of the person are: the median over pairs of HQ references.

    embeddings (n, D) unit, scores (n,); with fewer than two HQ references the bundle's constant.
    """
    good = embeddings[scores >= HIGH_QUALITY]
    if len(good) < 2:
        return constant
    rows, columns = torch.triu_indices(len(good), len(good), 1)
    return float((good[rows] * good[columns]).sum(-1).median())


def guiding_reference(embeddings: Tensor, scores: Tensor, lq_embedding: Tensor) -> Tensor:
    """Return x_ref's embedding (D,): the HQ reference most like the LQ input; with no HQ one, the best-scored."""
    good = embeddings[scores >= HIGH_QUALITY]
    if len(good) == 0:
        return embeddings[int(scores.argmax())]
    return good[int((good @ lq_embedding).argmax())]


def check_references(references: Sequence[Reference], side: int) -> None:
    """NoUsableReference where there is none to learn from; ValueError where a crop is not (3, side, side)."""
    if not references:
        raise NoUsableReference("got no usable reference photo, wanted at least one; five are better")
    for reference in references:
        if tuple(reference.crop.shape) != (3, side, side):
            raise ValueError(f"got a reference crop {tuple(reference.crop.shape)}, wanted (3, {side}, {side})")


def _versions(crop: Tensor, generator: torch.Generator) -> Tensor:
    """Return (versions, 3, S, S): the crop itself and its mirror image first, then slightly moved ones."""
    turn, log_scale, x, y = torch.randn(4, _VERSIONS, generator=generator)
    still = torch.arange(_VERSIONS) < 2
    turn, log_scale, x, y = (torch.where(still, 0.0, v) for v in (turn * _TURN, log_scale * _SCALE, x, y))
    mirror = torch.where(torch.arange(_VERSIONS) % 2 == 1, -1.0, 1.0)
    cos, sin = torch.cos(turn) * log_scale.exp(), torch.sin(turn) * log_scale.exp()
    rows = [torch.stack([cos * mirror, -sin, x * _SHIFT], 1), torch.stack([sin * mirror, cos, y * _SHIFT], 1)]
    crops = crop.float().expand(_VERSIONS, -1, -1, -1)
    grid = functional.affine_grid(torch.stack(rows, 1), list(crops.shape), align_corners=False)
    return functional.grid_sample(crops, grid, padding_mode="reflection", align_corners=False)
