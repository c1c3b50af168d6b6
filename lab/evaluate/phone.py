"""What phones do to faces in a dark room that move: motion blur, few photons lifted by gamma, video-style compression.

Lengths are stated for crops of 512 px, like those of `core.degradation`.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

_SIDE = 512.0
# Motion length, downscaling, gamma of the tone curve, photons at white, JPEG quality with halved chroma.
_RANGES = ((8.0, 40.0), (2.0, 5.0), (1.6, 2.4), (30.0, 200.0), (20.0, 50.0))
_SHIFT = 4  # px between two codings: a video's blocks do not stay where the face is


@dataclass(frozen=True)
class PhoneShot:
    """One draw."""

    motion: float  # px of a 512 px crop, along a straight line
    angle: float  # radians
    downscale: float  # factor, for a 512 px crop
    gamma: float  # of the tone curve: light is about value ** gamma
    photons: float  # at white; their number is Poisson's
    jpeg: float  # quality of each of two codings


def draw_phone(generator: torch.Generator) -> PhoneShot:
    """Draw a shot, every parameter uniform in its range."""
    values = torch.rand(6, generator=generator).tolist()
    motion, down, gamma, photons, jpeg = (
        low + (high - low) * value for (low, high), value in zip(_RANGES, values, strict=False)
    )
    return PhoneShot(motion, math.pi * values[5], down, gamma, photons, jpeg)


def shot(x: Tensor, phone: PhoneShot, generator: torch.Generator) -> Tensor:
    """Take x (3, S, S) in [-1, 1] as a phone would: move, shrink, count photons, lift, compress twice, enlarge."""
    side = x.shape[-1]
    scale = side / _SIDE
    y = _moved(x, phone.motion * scale, phone.angle)
    small = max(16, round(side / max(1.0, phone.downscale * scale)))
    y = functional.interpolate(y[None], size=(small, small), mode="bilinear", antialias=True)[0]
    light = ((y + 1) / 2).clamp(0, 1) ** phone.gamma
    counted = torch.poisson(light * phone.photons, generator=generator) / phone.photons
    y = (counted.clamp(0, 1) ** (1 / phone.gamma)) * 2 - 1
    y = _coded(y, phone.jpeg).roll((_SHIFT, _SHIFT), (1, 2))
    y = _coded(y, phone.jpeg).roll((-_SHIFT, -_SHIFT), (1, 2))
    return functional.interpolate(y[None], size=(side, side), mode="bicubic")[0].clamp(-1, 1)


def _moved(x: Tensor, length: float, angle: float) -> Tensor:
    """Average x (3, S, S) along a line of `length` px."""
    radius = max(1, math.ceil(length / 2))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    along = u * math.cos(angle) + v * math.sin(angle)
    off = v * math.cos(angle) - u * math.sin(angle)
    # A line one pixel wide whose ends fall off over a pixel.
    kernel = (1 - off.abs()).clamp(0, 1) * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1, -1)
    padded = functional.pad(x[None], (radius,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=3)[0]


def _coded(x: Tensor, quality: float) -> Tensor:
    """Encode and decode (3, S, S) in [-1, 1] as JPEG with halved chroma, as video has it."""
    pixels = ((x + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=round(quality), subsampling=2)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 127.5 - 1
