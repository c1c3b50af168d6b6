"""Tests of the comparison picture."""

import numpy as np
import pytest

from core.images import Photo
from tests.worker.house import photo
from worker.comparing import comparison

SMALL, LARGE = (100.0, 100.0, 140.0, 140.0), (10.0, 10.0, 250.0, 250.0)


@pytest.mark.parametrize(("boxes", "rows"), [([], 1), ([SMALL], 2), ([SMALL, SMALL], 3), ([LARGE], 1)])
def test_rows(boxes: list[tuple[float, float, float, float]], rows: int) -> None:
    """The photo before and after stands above, each small face from near below; a large one is seen already."""
    before = photo(1)
    after = Photo(255 - before.pixels)
    pixels = comparison(before, after, boxes).pixels
    side = (1200 - 3 * 12) // 2
    assert pixels.shape == (rows * (side + 12) + 12, 1200, 3)
    left, right = pixels[12 : 12 + side, 12 : 12 + side], pixels[12 : 12 + side, 24 + side : 24 + 2 * side]
    assert abs(float(left.mean()) + float(right.mean()) - 255) < 3


@pytest.mark.parametrize("shape", [(40, 400), (400, 40), (33, 33)])
def test_photos_of_any_shape(shape: tuple[int, int]) -> None:
    """Wide, tall and tiny photos fit, uncut and undistorted."""
    plain = Photo(np.full((*shape, 3), 120, np.uint8))
    pixels = comparison(plain, plain, [(0.0, 0.0, 20.0, 20.0)]).pixels
    assert pixels.shape[1] == 1200
