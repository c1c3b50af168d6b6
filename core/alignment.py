"""A face's place in a photograph <-> an upright crop: five points, one similarity, and the way back.

The frame is FFHQ's. Pasting adds the *difference* that restoration made, under a soft mask, at the photo's own
resolution: pixels outside the mask stay what they were, to the bit.
"""

import cv2
import numpy as np

# FFHQ's five-point template for a crop of 256 px: eyes, nose, mouth corners.
_TEMPLATE = np.array([(96.5, 120.0), (159.5, 120.0), (128.0, 157.0), (100.6, 185.7), (156.5, 185.6)])
_BORDER = 0.10  # of the crop's side: where the mask falls from one to nothing


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
    large = cv2.warpAffine(
        pixels,
        _pixel_centres(matrix * factor),
        (side * factor,) * 2,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return large if factor == 1 else cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)


def paste(pixels: np.ndarray, aligned: np.ndarray, restored: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Add to pixels (H, W, 3) what restoration changed of the aligned crop, under the soft mask."""
    height, width = pixels.shape[:2]
    side = aligned.shape[0]
    change = (restored.astype(np.float32) - aligned.astype(np.float32)) * soft_mask(side)[..., None]
    # A face smaller in the photo than in the crop: average first, since warping alone would skip pixels.
    small = max(1, round(side / max(1.0, _scale(matrix))))
    averaged = cv2.resize(change, (small, small), interpolation=cv2.INTER_AREA) if small < side else change
    back = cv2.invertAffineTransform(_pixel_centres(matrix * (small / side)))
    moved = cv2.warpAffine(averaged, back, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    inverse = cv2.invertAffineTransform(_pixel_centres(matrix))
    reach = cv2.warpAffine((soft_mask(side) > 0).astype(np.float32), inverse, (width, height), flags=cv2.INTER_NEAREST)
    moved[reach == 0] = 0  # cubic interpolation rings a little past the mask
    return np.clip(np.rint(pixels.astype(np.float32) + moved), 0, 255).astype(np.uint8)


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
