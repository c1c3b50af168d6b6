"""The denoiser's training set, made once: crops with their latents, degraded inputs, embeddings and quality words.

Making a crop costs more than a training step of so small a UNet, so several random crops of each photo are kept.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.arcface import IResNet, to_arcface_frame
from core.degradation import degrade, describe, draw
from core.quality import WORDS
from lab.pretrain.data import CropOptions, Photos, random_crops

# A fifth of the targets are themselves bad, and captioned so: else the quality words would mean nothing.
_DEGRADED_TARGETS = 0.2
_SEVERITIES = (None, "medium", "heavy")


@dataclass(frozen=True)
class Pool:
    """N training examples."""

    latents: Tensor  # (N, C, h, w) fp16, scaled to unit variance
    inputs: Tensor  # (N, 3, S, S) uint8: the degraded picture the ControlNet sees
    input_latents: Tensor  # (N, C, h, w) fp16: that picture's, from which a restoration starts
    embeddings: Tensor  # (N, D) fp16, unit: the guidance recognizer's, of the crop before any degradation
    words: Tensor  # (N, len(WORDS)) bool: the quality words of a target that is itself degraded
    people: Tensor  # (N,) int: which person

    def __len__(self) -> int:
        return len(self.latents)

    def by_person(self) -> dict[int, list[int]]:
        """Return the examples of each person."""
        groups: dict[int, list[int]] = defaultdict(list)
        for i, person in enumerate(self.people.tolist()):
            groups[person].append(i)
        return groups


def load_pool(
    photos: Photos, versions: int, vae: AutoencoderKL, recognizer: IResNet, cache: Path, side: int = 128
) -> Pool:
    """Read the pool from `cache`, making first what is missing of it: one file a version, so that it resumes."""
    cache.mkdir(parents=True, exist_ok=True)
    numbers = {person: i for i, person in enumerate(sorted(set(photos.people)))}
    people = torch.tensor([numbers[p] for p in photos.people])
    parts = []
    for version in range(versions):
        path = cache / f"pool-{version:02d}.safetensors"
        if not path.exists():
            made = _version(photos, people, version, vae, recognizer, side)
            save_file(made, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)
        parts.append(load_file(path))
    return Pool(**{key: torch.cat([part[key] for part in parts]) for key in parts[0]})


@torch.no_grad()
def _version(
    photos: Photos, people: Tensor, version: int, vae: AutoencoderKL, recognizer: IResNet, side: int
) -> dict[str, Tensor]:
    """Make one random crop of every photo, with all that belongs to it."""
    generator = torch.Generator().manual_seed(7919 * version + 1)
    rows = []
    for index in track(torch.arange(len(photos)).split(32), description=f"pool {version}"):
        crops = random_crops(photos.pixels[index], CropOptions(side=side), generator)
        targets, words = _targets(crops, generator)
        inputs = torch.stack([_input(crop, generator) for crop in crops])
        rows.append(
            {
                "latents": _encoded(vae, targets),
                "input_latents": _encoded(vae, inputs),
                "inputs": ((inputs + 1) * 127.5).round().clamp(0, 255).byte(),
                "embeddings": recognizer(to_arcface_frame(crops)).half(),
                "words": words,
                "people": people[index],
            }
        )
    return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}


def _encoded(vae: AutoencoderKL, x: Tensor) -> Tensor:
    latents: Tensor = vae.encode(x.to(vae.dtype)).latent_dist.mean * vae.config.scaling_factor
    return latents.half()


def _targets(crops: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the crops, a fifth of them degraded, and the words that say how."""
    targets, words = crops.clone(), torch.zeros(len(crops), len(WORDS), dtype=torch.bool)
    for i in range(len(crops)):
        if torch.rand((), generator=generator) < _DEGRADED_TARGETS:
            degradation = draw(generator, None)
            targets[i] = degrade(crops[i], degradation, generator)
            for word in describe(degradation):
                words[i, WORDS.index(word)] = True
    return targets, words


def _input(crop: Tensor, generator: torch.Generator) -> Tensor:
    """Return a crop degraded for the ControlNet: heavy more often than in life, so that [V] is needed."""
    severity = _SEVERITIES[int(torch.randint(len(_SEVERITIES), (), generator=generator))]
    return degrade(crop, draw(generator, severity), generator)
