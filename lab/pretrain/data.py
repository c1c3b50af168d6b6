"""The training photographs: read once into memory, split by person, cropped with random pose."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

# Portraits that may be shown: kept out of every training set, so that pictures of them prove something.
SHOWABLE = ("p00152", "p00171", "p00284", "p00468", "p00494", "p01714")
_HELD_OUT_SHARE = 0.03


@dataclass(frozen=True)
class Photos:
    """Aligned face crops (N, 3, 256, 256) in uint8 with the person and the manifest entry of each."""

    pixels: Tensor
    people: tuple[str, ...]
    entries: tuple[dict[str, object], ...]

    def __len__(self) -> int:
        return len(self.people)

    def where(self, keep: list[bool]) -> "Photos":
        """Return the photographs whose flag is true."""
        index = [i for i, flag in enumerate(keep) if flag]
        return Photos(self.pixels[index], tuple(self.people[i] for i in index), tuple(self.entries[i] for i in index))


def load_photos(root: Path) -> Photos:
    """Read every photo of `root/photos.json`."""
    entries = json.loads((root / "photos.json").read_text())
    pixels = read_pixels([root / e["file"] for e in entries])
    return Photos(pixels, tuple(e["person"] for e in entries), tuple(entries))


def read_pixels(files: Sequence[Path]) -> Tensor:
    """Read pictures of one size into (N, 3, H, W) uint8."""
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def grid_people(photos: Photos, count: int = 10) -> tuple[str, ...]:
    """Return further real people with two or more free photographs, for result grids: also never trained on."""
    free = ("Government", "CC0", "CC-BY")
    seen: dict[str, int] = {}
    for person, entry in zip(photos.people, photos.entries, strict=True):
        if not entry["synthetic"] and any(word in str(entry["licence"]) for word in free) and person not in SHOWABLE:
            seen[person] = seen.get(person, 0) + 1
    pairs = sorted((p for p, n in seen.items() if n >= 2), key=lambda p: hashlib.sha256(p.encode()).hexdigest())
    return tuple(pairs[:count])


def is_held_out(person: str) -> bool:
    """Say whether a person belongs to the fixed part that measures, chosen by the hash of the name."""
    return int(hashlib.sha256(person.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < _HELD_OUT_SHARE


def split(photos: Photos) -> tuple[Photos, Photos]:
    """Return (training, held-out) photographs, without anybody who is shown in pictures."""
    shown = {*SHOWABLE, *grid_people(photos)}
    training = photos.where([p not in shown and not is_held_out(p) for p in photos.people])
    held_out = photos.where([p not in shown and is_held_out(p) for p in photos.people])
    return training, held_out


@dataclass(frozen=True)
class CropOptions:
    """How far a training crop strays from the aligned one."""

    side: int = 128  # pixels of the output
    flip: float = 0.5  # probability
    rotate: float = 6.0  # degrees, standard deviation
    scale: float = 0.06  # standard deviation of log scale
    shift: float = 0.03  # standard deviation, share of the side
    perspective: float = 0.04  # standard deviation of the two projective terms: a slight turn of the head
    light: float = 0.12  # standard deviation of log gamma and log gain
    colour: float = 0.04  # standard deviation of the per-channel log gain


def random_crops(pixels: Tensor, options: CropOptions, generator: torch.Generator) -> Tensor:
    """Turn uint8 (B, 3, H, H) into crops (B, 3, side, side) in [-1, 1] with random pose, light and colour."""
    x = pixels.float() / 255
    matrix = _random_homographies(len(x), options, generator)
    x = _warp(x, matrix, options.side)
    return _relight(x, options, generator) * 2 - 1


def centre_crops(pixels: Tensor, side: int) -> Tensor:
    """Turn uint8 (B, 3, H, H) into (B, 3, side, side) in [-1, 1], by area."""
    return functional.interpolate(pixels.float() / 127.5 - 1, size=(side, side), mode="area")


def _random_homographies(count: int, options: CropOptions, generator: torch.Generator) -> Tensor:
    """Return (B, 3, 3) maps from output to input coordinates in [-1, 1]."""

    def normal(std: float) -> Tensor:
        return torch.randn(count, generator=generator) * std

    angle, scale = normal(math.radians(options.rotate)), torch.exp(normal(options.scale))
    flip = torch.where(torch.rand(count, generator=generator) < options.flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [
        torch.stack([cos * flip, -sin, normal(2 * options.shift)], -1),
        torch.stack([sin * flip, cos, normal(2 * options.shift)], -1),
        torch.stack([normal(options.perspective), normal(options.perspective), torch.ones(count)], -1),
    ]
    return torch.stack(rows, 1)


def _warp(x: Tensor, matrix: Tensor, side: int) -> Tensor:
    """Sample (B, 3, H, H) at the mapped positions of a (side, side) grid; shrinks by area first, against aliasing."""
    if x.shape[-1] >= 2 * side:
        x = functional.interpolate(x, size=(side * 5 // 4, side * 5 // 4), mode="area")
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    grid = torch.stack([*torch.meshgrid(axis, axis, indexing="xy"), torch.ones(side, side)], -1)
    mapped = torch.einsum("hwk,bjk->bhwj", grid, matrix)
    return functional.grid_sample(
        x, mapped[..., :2] / mapped[..., 2:], mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _relight(x: Tensor, options: CropOptions, generator: torch.Generator) -> Tensor:
    """Change gamma, gain and white balance of (B, 3, H, W) in [0, 1]."""
    count = len(x)
    gamma = torch.exp(torch.randn(count, 1, 1, 1, generator=generator) * options.light)
    gain = torch.exp(
        torch.randn(count, 1, 1, 1, generator=generator) * options.light / 2
        + torch.randn(count, 3, 1, 1, generator=generator) * options.colour
    )
    return (x.clamp(1e-4, 1) ** gamma * gain).clamp(0, 1)
