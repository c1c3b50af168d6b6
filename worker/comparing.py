"""Before and after in one picture: the whole photo side by side, and under it each face from near."""

from collections.abc import Sequence

import cv2
import numpy as np

from core.faces import Box
from core.images import Photo

_WIDTH, _GAP = 1200, 12  # pixels
_PAPER = 250
_MARGIN = 0.4  # around a face, as a share of its box's longer side
_LARGE = 0.8  # of the photo's height: a face seen from so near is seen in the photo already


def comparison(before: Photo, after: Photo, boxes: Sequence[Box]) -> Photo:
    """Return the comparison, in the photo's own colour profile."""
    rows = [_side_by_side(before.pixels, after.pixels)]
    for box in boxes:
        near = _around(before.pixels, box)
        if near.shape[0] < _LARGE * before.pixels.shape[0]:
            rows.append(_side_by_side(near, _around(after.pixels, box)))
    gap = np.full((_GAP, _WIDTH, 3), _PAPER, np.uint8)
    pieces = [piece for row in rows for piece in (gap, row)] + [gap]
    return Photo(np.concatenate(pieces), before.icc_profile)


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return two pictures of one size beside each other, at the comparison's width."""
    width = (_WIDTH - 3 * _GAP) // 2
    height = min(max(1, round(width * left.shape[0] / left.shape[1])), width)
    wide = min(width, round(height * left.shape[1] / left.shape[0]))
    row = np.full((height, _WIDTH, 3), _PAPER, np.uint8)
    for picture, start in ((left, _GAP), (right, 2 * _GAP + width)):
        shrinks = picture.shape[1] > wide
        scaled = cv2.resize(picture, (wide, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        offset = start + (width - wide) // 2
        row[:, offset : offset + wide] = scaled
    return row


def _around(pixels: np.ndarray, box: Box) -> np.ndarray:
    """Return the square around a box, inside the picture."""
    x0, y0, x1, y1 = box
    height, width = pixels.shape[:2]
    side = max(1, min(round(max(x1 - x0, y1 - y0) * (1 + 2 * _MARGIN)), height, width))
    left = min(max(round((x0 + x1 - side) / 2), 0), width - side)
    top = min(max(round((y0 + y1 - side) / 2), 0), height - side)
    return pixels[top : top + side, left : left + side]
