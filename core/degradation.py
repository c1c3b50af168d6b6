"""How photographs go bad: blur, then downsampling, noise and JPEG, with every parameter known and every draw seeded.

Lengths are stated for crops of 512 px, as the field states them, and scaled to the crop at hand.
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
# FaceMe's ranges (blur sigma, downsampling, noise, lowest JPEG quality) and three parts of them.
_RANGES = {
    None: ((0.2, 10.0), (1.0, 16.0), (0.0, 15.0), (30.0, 100.0)),
    "light": ((0.2, 3.5), (1.0, 6.0), (0.0, 5.0), (75.0, 100.0)),
    "medium": ((3.5, 6.5), (6.0, 11.0), (5.0, 10.0), (50.0, 75.0)),
    "heavy": ((6.5, 10.0), (11.0, 16.0), (10.0, 15.0), (30.0, 50.0)),
}


@dataclass(frozen=True)
class Degradation:
    """One draw of the first-order degradation."""

    blur_sigma: float  # px of a 512 px crop, along the blur's axis
    blur_sigma_y: float  # px, across it; equal for an isotropic blur
    blur_angle: float  # radians
    downscale: float  # factor, for a 512 px crop
    noise: float  # standard deviation, in 0-255 levels
    jpeg: float  # quality, 1-100


# What leaves a picture as it is, JPEG's finest rounding apart.
UNTOUCHED = Degradation(blur_sigma=0.0, blur_sigma_y=0.0, blur_angle=0.0, downscale=1.0, noise=0.0, jpeg=100.0)


def draw(generator: torch.Generator, severity: str | None) -> Degradation:
    """Draw a degradation: of a severity (`light`, `medium`, `heavy`), or over FaceMe's whole ranges (None)."""
    if severity not in _RANGES:
        raise ValueError(f"got severity {severity!r}, wanted one of {', '.join(str(k) for k in _RANGES)}")
    values = torch.rand(7, generator=generator).tolist()
    sigma, down, noise, jpeg = (
        low + (high - low) * value for (low, high), value in zip(_RANGES[severity], values, strict=False)
    )
    low, high = _RANGES[severity][0]
    across = sigma if values[4] < 0.5 else low + (high - low) * values[5]
    return Degradation(sigma, across, math.pi * values[6], down, noise, jpeg)


def draw_second_order(generator: torch.Generator) -> list[Degradation]:
    """Draw two rounds to be applied one after the other, as Real-ESRGAN does; each is milder than a single one."""
    return [draw(generator, "light"), draw(generator, "light" if torch.rand((), generator=generator) < 0.5 else None)]


def combined(*rounds: Degradation) -> Degradation:
    """Return about what several rounds amount to in one: variances add, the worst shrinking and JPEG remain."""
    if not rounds:
        return UNTOUCHED
    return Degradation(
        blur_sigma=math.hypot(*(d.blur_sigma for d in rounds)),
        blur_sigma_y=math.hypot(*(d.blur_sigma_y for d in rounds)),
        blur_angle=rounds[-1].blur_angle,
        downscale=max(d.downscale for d in rounds),
        noise=math.hypot(*(d.noise for d in rounds)),
        jpeg=min(d.jpeg for d in rounds),
    )


def degrade(x: Tensor, degradation: Degradation, generator: torch.Generator) -> Tensor:
    """Degrade x (3, S, S) in [-1, 1]: blur, downsample, add noise, compress, and enlarge to S again."""
    side = x.shape[-1]
    scale = side / _SIDE
    y = _blur(x, degradation, scale)
    small = max(4, round(side / max(1.0, degradation.downscale * scale)))
    y = functional.interpolate(y[None], size=(small, small), mode="bilinear", antialias=True)[0]
    y = y + torch.randn(y.shape, generator=generator) * (degradation.noise / 127.5)
    y = _jpeg(y.clamp(-1, 1), degradation.jpeg)
    return functional.interpolate(y[None], size=(side, side), mode="bicubic")[0].clamp(-1, 1)


def describe(degradation: Degradation) -> tuple[str, ...]:
    """Return the quality words of a degradation; "sharp" where none applies."""
    words = []
    if max(degradation.blur_sigma, degradation.blur_sigma_y) > 3.5:
        words.append("blurry")
    if degradation.downscale > 6.0:
        words.append("low resolution")
    if degradation.noise > 6.0:
        words.append("noisy")
    if degradation.jpeg < 60.0:
        words.append("compressed")
    return tuple(words) or ("sharp",)


def quality_score(degradation: Degradation) -> float:
    """Return how good a picture so degraded still is, in [0, 1]: 1 is untouched."""
    blur = math.hypot(degradation.blur_sigma, degradation.blur_sigma_y) / math.sqrt(2)
    detail = math.hypot(blur / 10, (degradation.downscale - 1) / 15) / math.sqrt(2)
    grain = degradation.noise / 15
    blocks = (100 - degradation.jpeg) / 70
    return float(np.clip(1 - (0.6 * detail + 0.25 * grain + 0.15 * blocks), 0, 1))


def _blur(x: Tensor, degradation: Degradation, scale: float) -> Tensor:
    """Blur x (3, S, S) with a turned Gaussian whose two widths are given for 512 px."""
    sigma, across = (max(s * scale, 1e-3) for s in (degradation.blur_sigma, degradation.blur_sigma_y))
    radius = max(1, math.ceil(3 * max(sigma, across)))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = math.cos(degradation.blur_angle), math.sin(degradation.blur_angle)
    along, off = u * cos + v * sin, v * cos - u * sin
    kernel = torch.exp(-0.5 * ((along / sigma) ** 2 + (off / across) ** 2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1, -1)
    padded = functional.pad(x[None], (radius,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=3)[0]


def _jpeg(x: Tensor, quality: float) -> Tensor:
    """Encode and decode (3, S, S) in [-1, 1] as JPEG."""
    pixels = ((x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=round(quality))
    decoded = torch.from_numpy(np.array(Image.open(buffer)))
    return decoded.permute(2, 0, 1).float() / 127.5 - 1
