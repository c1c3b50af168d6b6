"""Any folder of photos -> aligned face crops: square pictures as they are; of others, every face large enough."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from core.alignment import alignment, crop
from core.errors import NoUsableReference, PreferError
from core.faces import FaceDetector
from core.images import read_photo_file, write_atomically
from core.photo_limits import PHOTO_ENDINGS
from core.pixels import to_tensor

_KEEP_EVERY = 200  # photos from one writing of the index to the next
_SMALLEST = 0.5  # of the crop's side: a face enlarged more than that teaches blur


@dataclass(frozen=True)
class Crop:
    """One face of a photo; without a matrix the whole, square picture is the crop."""

    path: str  # within the folder
    matrix: list[list[float]] | None  # (2, 3): photo -> crop

    def load(self, folder: Path, side: int) -> Tensor:
        """Return the crop (3, side, side) in [-1, 1]."""
        pixels = read_photo_file(folder / self.path).pixels
        if self.matrix is None:
            pixels = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))
        else:
            pixels = crop(pixels, np.array(self.matrix), side)
        return to_tensor(np.array(pixels))


@dataclass(frozen=True)
class Crops:
    """What a folder gave."""

    folder: Path
    side: int
    faces: list[Crop]
    skipped: dict[str, str]  # photo -> why


def find_crops(folder: Path, side: int, detector: Callable[[], FaceDetector], index: Path) -> Crops:
    """Look at every photo of a folder, subfolders too; what the index file has seen is not looked at again.

    NoUsableReference where no photo gives a crop.
    """
    seen: dict[str, list[list[list[float]] | None] | str] = json.loads(index.read_text()) if index.exists() else {}
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_ENDINGS)
    names = [str(path.relative_to(folder)) for path in paths]
    fresh = [name for name in names if name not in seen]
    for count, name in enumerate(fresh, start=1):
        seen[name] = _looked_at(folder / name, side, detector)
        if count % _KEEP_EVERY == 0 or count == len(fresh):
            write_atomically(index, json.dumps(seen).encode())
    faces, skipped = [], {}
    for name in names:
        found = seen[name]
        if isinstance(found, str):
            skipped[name] = found
        else:
            faces += [Crop(name, matrix) for matrix in found]
    if not faces:
        raise NoUsableReference(f"got {folder}, of whose {len(names)} photos none gives a face; wanted at least one")
    return Crops(folder, side, faces, skipped)


def _looked_at(path: Path, side: int, detector: Callable[[], FaceDetector]) -> list[list[list[float]] | None] | str:
    """Return the alignments of a photo's faces, [None] for a square picture, or why it gives none."""
    try:
        pixels = read_photo_file(path).pixels
    except PreferError as error:
        return str(error)
    height, width = pixels.shape[:2]
    if height == width:
        return [None] if side * _SMALLEST <= height else f"{height} px, wanted at least {side * _SMALLEST:g}"
    matrices = [alignment(face.landmarks, side) for face in detector().detect(pixels)]
    large = [matrix.tolist() for matrix in matrices if np.linalg.norm(matrix[:, 0]) <= 1 / _SMALLEST]
    return large or ("no face that is large enough" if matrices else "no face")
