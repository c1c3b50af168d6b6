"""A folder of people: `person/photo.jpg`, as aligned crops or as whole photographs; what is unusable is listed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor
from torch.nn import functional

from core.alignment import alignment, crop
from core.backbone import Backbone
from core.errors import ImageTooLarge, InvalidOption, UnreadableImage
from core.images import read_photo_file
from core.pixels import to_tensor

Frame = Literal["auto", "aligned", "whole"]
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"}


@dataclass(frozen=True)
class Photo:
    """One usable photograph: its aligned crop (3, S, S) in [-1, 1], and the digest of the file it came from."""

    name: str  # person/file
    crop: Tensor
    sha256: str
    faces: int  # found in a whole photograph, of which the largest was cut out; 0: it was a crop already

    def digest(self) -> str:
        """Return a digest of the crop: the frame it was cut in counts, too."""
        return hashlib.sha256(self.crop.numpy().tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Skipped:
    """A photo or a person that could not be used, and why."""

    name: str
    reason: str


def list_people(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the photo files of every person by name, who may have none; InvalidOption where nobody has any."""
    if not root.is_dir():
        raise InvalidOption(f"got {root}, which is no folder; wanted one of person/photo.jpg")
    people = {folder.name: photo_files(folder) for folder in sorted(root.iterdir()) if folder.is_dir()}
    if not any(people.values()):
        raise InvalidOption(f"got {root}, which holds no person/photo.jpg; wanted a folder for each person")
    return people


def photo_files(folder: Path) -> tuple[str, ...]:
    """Return the names of the files in a person's folder that end as photos do."""
    return tuple(sorted(path.name for path in folder.iterdir() if path.suffix.lower() in ENDINGS))


def read_crops(
    root: Path, names: Sequence[str], backbone: Backbone, frame: Frame
) -> tuple[dict[str, Photo], list[Skipped]]:
    """Read photos as aligned crops at the backbone's resolution; those that cannot be are skipped, with the reason."""
    photos, skipped = {}, []
    for name in names:
        try:
            crop, faces = _crop(root / name, backbone, frame)
            photos[name] = Photo(name, crop, _sha256(root / name), faces)
        except (UnreadableImage, ImageTooLarge) as error:
            skipped.append(Skipped(name, str(error).removeprefix(f"{root / name}: ")))
    return photos, skipped


def _crop(path: Path, backbone: Backbone, frame: Frame) -> tuple[Tensor, int]:
    """Return the crop and how many faces were found: a square picture counts as aligned, unless told otherwise."""
    pixels = read_photo_file(path).pixels.copy()  # what Pillow hands out is read-only
    square = pixels.shape[0] == pixels.shape[1]
    if frame == "aligned" and not square:
        raise UnreadableImage(f"got a picture of {pixels.shape[1]}x{pixels.shape[0]}, wanted a square aligned crop")
    faces = 0
    if frame == "whole" or not square:
        pixels, faces = _aligned(pixels, backbone)
    side = backbone.resolution
    return functional.interpolate(to_tensor(pixels)[None], size=(side, side), mode="area")[0], faces


def _aligned(pixels: np.ndarray, backbone: Backbone) -> tuple[np.ndarray, int]:
    """Cut the largest face out of a whole photograph; returned with how many there were."""
    faces = backbone.detector.detect(pixels)
    if not faces:
        raise UnreadableImage("got a photo in which no face was found, wanted one with a face")
    side = backbone.resolution
    return crop(pixels, alignment(faces[0].landmarks, side), side), len(faces)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
