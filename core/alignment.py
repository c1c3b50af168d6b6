"""A face's place in a photograph <-> an upright crop: five points, one similarity, and the way back.

The frame is FFHQ's. Pasting adds the *difference* that restoration made, under a soft mask, at the photo's own
resolution: pixels outside the masks stay what they were, to the bit. Both ways work on a few rows at a time, so that a
small face in a large photo takes little.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

# FFHQ's five-point template for a crop of 256 px: eyes, nose, mouth corners.
_TEMPLATE = np.array([(96.5, 120.0), (159.5, 120.0), (128.0, 157.0), (100.6, 185.7), (156.5, 185.6)])
_BORDER = 0.10  # of the crop's side: where the mask falls from one to nothing
_ROWS = 64  # of a picture, worked on at a time


@dataclass(frozen=True)
class Window:
    """A part of a picture, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Change:
    """What restoration made of one face."""

    aligned: np.ndarray  # (S, S, 3) uint8, as it was cut
    restored: np.ndarray  # (S, S, 3) uint8
    matrix: np.ndarray  # (2, 3): photo -> crop


@dataclass(frozen=True)
class _Patch:
    """A change as it is laid into a photo; s <= S px a side, as far as the photo's pixels tell."""

    difference: np.ndarray  # (s, s, 3) float32, under the mask
    mask: np.ndarray  # (s, s) float32
    back: np.ndarray  # (2, 3): pixel of the photo -> of these two
    reach: np.ndarray  # (S, S) float32: 1 where there is any mask
    reach_back: np.ndarray  # (2, 3): pixel of the photo -> of the reach
    window: Window  # of the photo, about it all


def ffhq_template(side: int) -> np.ndarray:
    """Return the five points (5, 2) that landmarks are brought to in a crop of `side` px."""
    return _TEMPLATE * (side / 256)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the (2, 3) similarity, without reflection, that takes points (N, 2) nearest to target (N, 2)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    spread = (a**2).sum()
    cos = (a * b).sum() / spread
    sin = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    rotation = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([rotation, target_mean - rotation @ source_mean])


def alignment(landmarks: np.ndarray, side: int) -> np.ndarray:
    """Return the (2, 3) map from the photograph to its aligned crop."""
    return similarity(np.asarray(landmarks, np.float64), ffhq_template(side))


def placed(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (N, 2) under a (2, 3) map."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def box_alignment(box: tuple[float, float, float, float], side: int) -> np.ndarray:
    """Return the map for a face given by its box alone: upright, the box's centre a little above the crop's."""
    x0, y0, x1, y1 = box
    scale = side / (1.8 * max(x1 - x0, y1 - y0))  # a face's box is a bit over half of FFHQ's frame
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return np.column_stack([np.eye(2) * scale, np.array([0.5, 0.57]) * side - scale * centre])


def crop(pixels: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Cut the aligned crop (side, side, 3) uint8 out of pixels (H, W, 3); shrinking averages over areas."""
    scale = _scale(matrix)
    factor = max(1, round(1 / scale)) if scale < 1 else 1
    back = cv2.invertAffineTransform(_pixel_centres(matrix * factor))
    strips = []
    for strip in _strips(Window(0, 0, side, side), max(1, _ROWS // factor)):
        large = Window(0, strip.top * factor, side * factor, strip.bottom * factor)
        cut = _warped(pixels, back, large, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
        size = (side, strip.bottom - strip.top)
        strips.append(cut if factor == 1 else cv2.resize(cut, size, interpolation=cv2.INTER_AREA))
    return np.concatenate(strips)


def paste(pixels: np.ndarray, changes: Iterable[Change]) -> np.ndarray:
    """Return pixels (H, W, 3) with what restoration changed of each face under its soft mask w.

    pixels + sum(w d) / max(1, sum(w)): neighbours whose masks overlap share what lies between them, instead of both
    changing it. A face that was left as it was takes no share.
    """
    height, width = pixels.shape[:2]
    changed = [change for change in changes if not np.array_equal(change.aligned, change.restored)]
    patches = [_patch(change, width, height) for change in changed]
    result = pixels.copy()
    for strip in _strips(Window(0, 0, width, height), _ROWS):
        if here := [patch for patch in patches if _share_rows(patch.window, strip)]:
            _add(result, here, strip)
    return result


def soft_mask(side: int) -> np.ndarray:
    """Return the mask (side, side) in [0, 1]: one inside, falling smoothly to zero at the crop's edge."""
    axis = (np.arange(side) + 0.5) / side
    ramp = np.clip(np.minimum(axis, 1 - axis) / _BORDER - 0.2, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.outer(ramp, ramp).astype(np.float32)


def _pixel_centres(matrix: np.ndarray) -> np.ndarray:
    """Return the map between pixel indices: coordinates here count from a pixel's edge, OpenCV's from its centre."""
    shift = 0.5 - matrix[:, :2] @ np.array([0.5, 0.5])
    moved = matrix.copy()
    moved[:, 2] -= shift
    return moved


def _scale(matrix: np.ndarray) -> float:
    """Return how many pixels a similarity makes of one."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _strips(window: Window, rows: int) -> Iterable[Window]:
    """Yield a window from top to bottom, so many rows at a time."""
    for top in range(window.top, window.bottom, rows):
        yield Window(window.left, top, window.right, min(top + rows, window.bottom))


def _share_rows(window: Window, strip: Window) -> bool:
    """Say whether a window has pixels in a strip of the whole photo."""
    return window.left < window.right and window.top < strip.bottom and strip.top < window.bottom


def _warped(pixels: np.ndarray, back: np.ndarray, window: Window, interpolation: int, border: int) -> np.ndarray:
    """Return one window of what cv2.warpAffine would make of pixels; `back` leads from there to them.

    To the bit: the places are reckoned as it does, in the same order and precision. To shift `back` would differ.
    """
    x = np.arange(window.left, window.right, dtype=np.float32)
    y = np.arange(window.top, window.bottom, dtype=np.float32)[:, None]
    u, v = (x * row[0] + (y * row[1] + row[2]) for row in back.astype(np.float32))  # (rows, columns) each
    return cv2.remap(pixels, u, v, interpolation, borderMode=border)


def _patch(change: Change, width: int, height: int) -> _Patch:
    """Return a change, ready for a photo of this size."""
    side = change.aligned.shape[0]
    mask = soft_mask(side)
    difference = (change.restored.astype(np.float32) - change.aligned.astype(np.float32)) * mask[..., None]
    # A face smaller in the photo than in the crop: average first, since warping alone would skip pixels.
    small = max(1, round(side / max(1.0, _scale(change.matrix))))
    return _Patch(
        difference=_averaged(difference, small),
        mask=_averaged(mask, small),
        back=_pixel_centres(change.matrix * (small / side)),
        reach=(mask > 0).astype(np.float32),
        reach_back=_pixel_centres(change.matrix),
        window=_window(change, width, height),
    )


def _averaged(values: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA) if side < len(values) else values


def _window(change: Change, width: int, height: int) -> Window:
    """Return the part of a photo that a crop shows; empty where it shows none."""
    square = len(change.aligned) * np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
    corners = placed(cv2.invertAffineTransform(change.matrix), square)
    left, top = np.floor(corners.min(0)).clip(0, (width, height)).astype(int)
    right, bottom = np.ceil(corners.max(0)).clip(0, (width, height)).astype(int)
    return Window(int(left), int(top), int(right), int(bottom))


def _add(pixels: np.ndarray, patches: Sequence[_Patch], strip: Window) -> None:
    """Lay patches into one strip of the pixels, in place."""
    left, right = min(patch.window.left for patch in patches), max(patch.window.right for patch in patches)
    total = np.zeros((strip.bottom - strip.top, right - left, 3), np.float32)
    weight = np.zeros((*total.shape[:2], 1), np.float32)
    for patch in patches:
        columns = slice(patch.window.left - left, patch.window.right - left)
        difference, mask = _moved(patch, Window(patch.window.left, strip.top, patch.window.right, strip.bottom))
        total[:, columns] += difference
        weight[:, columns] += mask[..., None]
    here = pixels[strip.top : strip.bottom, left:right]
    here[:] = np.clip(np.rint(here + total / np.maximum(1, weight)), 0, 255).astype(np.uint8)


def _moved(patch: _Patch, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Return a patch's difference (h, w, 3) and mask (h, w) in a window of the photo."""
    difference, mask = (
        _warped(values, patch.back, window, cv2.INTER_CUBIC, cv2.BORDER_CONSTANT)
        for values in (patch.difference, patch.mask)
    )
    reach = _warped(patch.reach, patch.reach_back, window, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    outside = reach == 0  # cubic interpolation rings a little past the mask
    difference[outside], mask[outside] = 0, 0
    return difference, mask.clip(0, 1)
