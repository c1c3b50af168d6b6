"""`python -m lab.evaluate`: free samples of a bundle beside their nearest training photos, and what words do."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from core.backbone import Backbone, load_backbone
from core.images import Photo, encode_photo, write_atomically
from core.pixels import to_pixels
from lab.evaluate.grids import captioned
from lab.evaluate.samples import free_samples, neighbours, told_apart
from lab.pretrain.data import Photos, centre_crops, load_photos, split

_COLUMNS = 8  # of the sheet


def main() -> None:
    """Sample, compare, and write the sheet and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/mini"))
    parser.add_argument("--data", type=Path, required=True, help="the folder of faces that the bundle was trained on")
    parser.add_argument("--output", type=Path, default=Path(".work/samples"))
    parser.add_argument("--count", type=int, default=16)
    arguments = parser.parse_args()
    backbone = load_backbone(arguments.bundle)
    training, held_out = split(load_photos(arguments.data))
    figures = {**words_figures(backbone, arguments.count, arguments.output)}
    figures |= copies_figures(backbone, arguments.count, training, held_out, arguments.output)
    write_atomically(arguments.output / "samples.json", json.dumps(figures, indent=1).encode())
    for name, value in figures.items():
        Console().print(f"{name} {value:.4f}", highlight=False)


def words_figures(backbone: Backbone, count: int, folder: Path) -> dict[str, float]:
    """Return how well the assessor tells sharp from blurry samples of the same seeds; writes both as a sheet."""
    made = {word: free_samples(backbone, [word], range(count)) for word in ("sharp", "blurry")}
    tiles = [(to_pixels(face), word) for word, faces in made.items() for face in faces]
    _write(folder / "words.png", tiles)
    return {"sharp_blurry_auc": told_apart(backbone, made["sharp"], made["blurry"])}


def copies_figures(
    backbone: Backbone, count: int, training: Photos, held_out: Photos, folder: Path
) -> dict[str, float]:
    """Return how near the samples come to training photos, beside how near photos of strangers come to them."""
    crops = centre_crops(training.pixels, backbone.resolution)
    made = free_samples(backbone, ["sharp"], range(count))
    found = neighbours(backbone, made, crops)
    strangers = neighbours(backbone, centre_crops(held_out.pixels, backbone.resolution), crops)
    tiles = []
    for face, nearest in zip(made, found, strict=True):
        tiles += [
            (to_pixels(face), "sample"),
            (to_pixels(crops[nearest.index]), f"{training.people[nearest.index]} {nearest.similarity:.2f}"),
        ]
    _write(folder / "nearest.png", tiles)
    similarities, distances = (
        torch.tensor([getattr(n, name) for n in found]) for name in ("similarity", "pixel_distance")
    )
    return {
        "nearest_similarity_mean": float(similarities.mean()),
        "nearest_similarity_max": float(similarities.max()),
        "nearest_pixel_distance_min": float(distances.min()),
        "strangers_similarity_mean": float(np.mean([n.similarity for n in strangers])),
        "strangers_similarity_max": float(np.max([n.similarity for n in strangers])),
    }


def _write(path: Path, tiles: list[tuple[np.ndarray, str]]) -> None:
    rows = [tiles[start : start + _COLUMNS] for start in range(0, len(tiles), _COLUMNS)]
    write_atomically(path, encode_photo(Photo(captioned(rows))))


if __name__ == "__main__":
    main()
