"""The demo's own photographs: official portraits hung side by side in one picture, and then spoilt."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from core.degradation import Degradation, degrade

PORTRAITS = Path(__file__).parent / "demo_photos"
REFERENCES = ("dwight_evans_1.jpg", "dwight_evans_2.jpg")  # the second is degraded: references are of mixed quality
PHOTO = "dwight_evans_3.jpg"
BYSTANDERS = ("ben_ray_lujan_2.jpg", "scott_perry_2.jpg", "mike_kelly_2.jpg")
_SIZE, _TILE, _TOP = (1040, 420), 224, 90  # pixels

# Of 512-px crops, as FaceMe states its ranges.
REFERENCE_DEGRADATION = Degradation(
    blur_sigma=3.0, blur_sigma_y=3.0, blur_angle=0.0, downscale=4.0, noise=6.0, jpeg=60.0
)
PHOTO_DEGRADATION = Degradation(blur_sigma=4.0, blur_sigma_y=4.0, blur_angle=0.0, downscale=8.0, noise=8.0, jpeg=50.0)


@dataclass(frozen=True)
class Scene:
    """What the demo works on; pixels are (H, W, 3) uint8."""

    references: tuple[np.ndarray, ...]
    photo: np.ndarray  # several people, all of them spoilt
    truth: np.ndarray  # the same picture before it was spoilt


def demo_scene(seed: int = 0) -> Scene:
    """Return two references, one of them degraded, and a degraded group picture with a third photo of the person."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (portrait(name) for name in REFERENCES)
    row = [portrait(name) for name in (BYSTANDERS[0], PHOTO, *BYSTANDERS[1:])]
    bad_row = [spoilt(pixels, PHOTO_DEGRADATION, generator) for pixels in row]
    return Scene(
        references=(first, spoilt(second, REFERENCE_DEGRADATION, generator)), photo=_hung(bad_row), truth=_hung(row)
    )


def portrait(name: str) -> np.ndarray:
    """Return one of the portraits that come along, (256, 256, 3) uint8."""
    return np.asarray(Image.open(PORTRAITS / name).convert("RGB"))


def spoilt(pixels: np.ndarray, degradation: Degradation, generator: torch.Generator) -> np.ndarray:
    """Return pixels (H, W, 3) uint8, degraded."""
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1  # (3, S, S)
    bad = degrade(x, degradation, generator)
    return ((bad + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def _hung(row: list[np.ndarray]) -> np.ndarray:
    """Hang portraits side by side on a plain, softly lit wall."""
    width, height = _SIZE
    light = 1 - 0.25 * np.abs(np.linspace(-1, 1, width))[None] - 0.1 * np.linspace(0, 1, height)[:, None]
    wall = Image.fromarray((light[..., None] * np.array([196, 190, 180])).round().astype(np.uint8))
    gap = (width - len(row) * _TILE) // (len(row) + 1)
    places = [(gap + i * (_TILE + gap), _TOP) for i in range(len(row))]
    for left, top in places:
        wall.paste((120, 116, 110), (left + 4, top + 6, left + _TILE + 4, top + _TILE + 6))
    wall = wall.filter(ImageFilter.GaussianBlur(6))
    for pixels, place in zip(row, places, strict=True):
        wall.paste(Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.LANCZOS), place)
    return np.asarray(wall)
