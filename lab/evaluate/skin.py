"""Skin tone as an angle, measured on the cheeks: people in thirds of it. Nobody's ethnicity is inferred."""

from collections.abc import Mapping

import numpy as np
from skimage.color import rgb2lab
from torch import Tensor

from core.pixels import to_pixels

# Squares of a cheek in the FFHQ frame of 256 px: below the eyes, beside the nose.
_CHEEKS = ((84, 148), (152, 148))
_SIDE = 20
THIRDS = ("darker third", "middle third", "lighter third")


def tone(crops: Tensor) -> float:
    """Return the median individual typology angle, in degrees, over a person's clean crops (n, 3, S, S)."""
    return float(np.median([_angle(to_pixels(crop)) for crop in crops]))


def thirds(tones: Mapping[str, float]) -> dict[str, str]:
    """Return the third that each person belongs to; nothing where there are fewer than six people."""
    if len(tones) < 2 * len(THIRDS):
        return {}
    order = sorted(tones, key=lambda person: tones[person])
    return {person: THIRDS[i * len(THIRDS) // len(order)] for i, person in enumerate(order)}


def _angle(pixels: np.ndarray) -> float:
    """Return arctan((L* - 50) / b*) of the cheeks' median colour."""
    scale = pixels.shape[0] / 256
    side = max(1, round(_SIDE * scale))
    patches = [pixels[round(y * scale) :, round(x * scale) :][:side, :side].reshape(-1, 3) for x, y in _CHEEKS]
    lab = rgb2lab(np.concatenate(patches)[None])[0]
    lightness, _, yellow = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))
