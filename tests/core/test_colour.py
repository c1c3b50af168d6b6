"""Tests of the colour fix and of the colour distance."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_cie76, rgb2lab

from core.colour import colour_fixed, colour_shift, low_frequencies


def pictures(seed: int) -> torch.Tensor:
    """Return two smooth pictures with a little noise, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, 4, 4, generator=generator) * 1.2 - 0.6
    smooth = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic")
    return (smooth + 0.05 * torch.randn(2, 3, 64, 64, generator=generator)).clamp(-1, 1)


def test_low_frequencies_keep_a_plain_colour() -> None:
    """A plain picture is its own low frequencies, and noise has next to none."""
    plain = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(low_frequencies(plain), plain)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert low_frequencies(noise).std() < 0.2


def test_fixed_colours_are_the_inputs() -> None:
    """A tinted result gets the input's colours back and keeps its own detail."""
    lq = pictures(0)
    detail = 0.1 * torch.randn(lq.shape, generator=torch.Generator().manual_seed(1))
    tinted = (lq + detail + torch.tensor([0.2, -0.1, 0.1])[:, None, None]).clamp(-1, 1)
    fixed = colour_fixed(tinted, lq)
    assert (colour_shift(fixed, lq) < 0.2 * colour_shift(tinted, lq)).all()
    high = (fixed - low_frequencies(fixed)).flatten()
    wanted = (tinted - low_frequencies(tinted)).flatten()
    assert torch.corrcoef(torch.stack([high, wanted]))[0, 1] > 0.95


def test_shift_is_delta_e() -> None:
    """The distance of two plain colours is scikit-image's CIE76 delta-E."""
    colours = np.array([[0.2, 0.4, 0.6], [0.25, 0.38, 0.7]])
    x, y = (torch.tensor(c * 2 - 1).float()[None, :, None, None].expand(1, 3, 64, 64) for c in colours)
    wanted = deltaE_cie76(rgb2lab(colours[0]), rgb2lab(colours[1]))
    assert float(colour_shift(x, y)[0]) == pytest.approx(float(wanted), rel=2e-3)
    assert float(colour_shift(x, x)[0]) == 0
