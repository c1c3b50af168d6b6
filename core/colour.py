"""Colour: a picture's low frequencies, and how far two pictures' colours are apart.

A diffusion model drifts in colour; Fig. 6 of the paper shows it.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

COLOUR_SIGMA = 1 / 32  # of the crop's side
# Linear sRGB -> XYZ, each row over the white point's value (D65).
_TO_XYZ = ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10949, 0.87275))


def low_frequencies(x: Tensor, sigma: float = COLOUR_SIGMA) -> Tensor:
    """Return x (B, 3, S, S) under a Gaussian whose sigma is given as a share of its side."""
    sigma = x.shape[-1] * sigma
    radius = math.ceil(3 * sigma)
    axis = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (axis / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(x, (radius,) * 4, mode="reflect")
    rows = functional.conv2d(padded, kernel.expand(x.shape[1], 1, 1, -1), groups=x.shape[1])
    return functional.conv2d(rows, kernel[:, None].expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


def colour_shift(x: Tensor, lq: Tensor) -> Tensor:
    """Return the mean CIE76 delta-E (B,) of two batches (B, 3, S, S) in [-1, 1], low frequencies only."""
    return (_lab(low_frequencies(x)) - _lab(low_frequencies(lq))).norm(dim=1).mean(dim=(1, 2))


def _lab(x: Tensor) -> Tensor:
    """Turn sRGB (B, 3, S, S) in [-1, 1] into CIE L*a*b*."""
    rgb = ((x + 1) / 2).clamp(0, 1)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,bjhw->bihw", torch.tensor(_TO_XYZ, device=x.device, dtype=x.dtype), linear)
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-6) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return torch.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], dim=1)
