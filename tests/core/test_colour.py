"""Tests of the colour fix and of the colour distance."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_cie76, rgb2lab

from core.colour import colour_shift, low_frequencies


def test_low_frequencies_keep_a_plain_colour() -> None:
    """A plain picture is its own low frequencies, and noise has next to none."""
    plain = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(low_frequencies(plain), plain)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert low_frequencies(noise).std() < 0.2


def test_shift_is_delta_e() -> None:
    """The distance of two plain colours is scikit-image's CIE76 delta-E."""
    colours = np.array([[0.2, 0.4, 0.6], [0.25, 0.38, 0.7]])
    x, y = (torch.tensor(c * 2 - 1).float()[None, :, None, None].expand(1, 3, 64, 64) for c in colours)
    wanted = deltaE_cie76(rgb2lab(colours[0]), rgb2lab(colours[1]))
    assert float(colour_shift(x, y)[0]) == pytest.approx(float(wanted), rel=2e-3)
    assert float(colour_shift(x, x)[0]) == 0
