"""A folder of people who do not exist: smooth pictures, a little alike within a person."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def write_people(root: Path, people: int, photos: int, side: int = 96) -> Path:
    """Write person/photo.png for every person; returns the root."""
    for person in range(people):
        folder = root / f"anna_{person}"
        folder.mkdir(parents=True)
        for photo in range(photos):
            Image.fromarray(_picture(person, photo, side)).save(folder / f"{photo:02d}.png")
    return root


def _picture(person: int, photo: int, side: int) -> np.ndarray:
    """Return (side, side, 3): the person's own colours with something of this photo's."""
    parts = [np.random.default_rng(seed).uniform(0, 255, (3, 6, 6)) for seed in (person, 1000 * (person + 1) + photo)]
    coarse = torch.from_numpy(0.8 * parts[0] + 0.2 * parts[1]).float()[None]
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    return smooth[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()
