"""The portraits that come along, as an album of one person: references of mixed quality, and a photo to mend."""

from pathlib import Path

import torch

from cli.scene import PHOTO, PHOTO_DEGRADATION, REFERENCE_DEGRADATION, REFERENCES, portrait, spoilt
from core.degradation import Degradation
from core.images import Photo, encode_photo

_SPOILT = [
    (REFERENCES[0], REFERENCE_DEGRADATION),
    (REFERENCES[1], REFERENCE_DEGRADATION),
    (REFERENCES[0], PHOTO_DEGRADATION),
]


def write_album(folder: Path) -> tuple[list[Path], Path]:
    """Write five references, two good ones and spoilt copies of them, and `bad.jpg`; return them and it."""
    generator = torch.Generator().manual_seed(0)

    def written(path: Path, name: str, degradation: Degradation | None) -> Path:
        pixels = portrait(name) if degradation is None else spoilt(portrait(name), degradation, generator)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_photo(Photo(pixels), "jpeg" if path.suffix == ".jpg" else "png"))
        return path

    photos = [*((name, None) for name in REFERENCES), *_SPOILT]
    references = [written(folder / "references" / f"{n}.png", *each) for n, each in enumerate(photos, start=1)]
    return references, written(folder / "bad.jpg", PHOTO, PHOTO_DEGRADATION)
