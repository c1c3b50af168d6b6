"""`python -m lab.evaluate.showable`: the people who may be shown, one reference and one test photo each, none left out.

Official portraits and other freely licensed photographs of people whom no network of the bundle ever saw. There is one
reference of each, which is harder than the five that the tables use.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from core.assessment import judged
from core.backbone import Backbone, load_backbone
from core.degradation import degrade, draw
from core.images import Photo, encode_photo, write_atomically
from core.options import RestoreOptions, TrainOptions
from core.person import Person, person_of_adapter, person_of_references
from core.pixels import to_pixels, to_tensor
from core.references import Reference
from core.restoration import restore_faces
from core.training import train_injector
from lab.evaluate.grids import captioned
from lab.evaluate.restoring import aligned_face
from lab.judges.panel import FaceResJudge
from lab.pretrain.data import Photos, centre_crops, grid_people, load_photos, read_pixels

_SEVERITIES = ("medium", "heavy")  # in turn


@dataclass(frozen=True)
class Shown:
    """One person of the grid; crops are (3, S, S) in [-1, 1]."""

    name: str
    reference: Tensor
    truth: Tensor
    lq: Tensor
    severity: str


def main() -> None:
    """Restore everybody who may be shown, and write the sheet and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/mini"))
    parser.add_argument("--data", type=Path, required=True, help="the folder of faces that the bundle was trained on")
    parser.add_argument("--portraits", type=Path, default=Path("cli/demo_photos"))
    parser.add_argument("--judge", type=Path, default=Path(".work/judges/faceres.json"))
    parser.add_argument("--output", type=Path, default=Path(".work/showable"))
    parser.add_argument("--preset", default="fast")
    arguments = parser.parse_args()
    backbone, judge = load_backbone(arguments.bundle), FaceResJudge(arguments.judge)
    train, restore = TrainOptions.preset(arguments.preset), RestoreOptions.preset(arguments.preset)
    lines, figures = [], []
    for shown in track(list(shown_people(load_photos(arguments.data), arguments.portraits)), description="people"):
        made = restorations(backbone, shown, train, restore)
        ids = {name: _identity(judge, pixels, shown.truth) for name, pixels in made.items()}
        lines.append(_line(shown, made, ids))
        figures.append({"person": shown.name, "severity": shown.severity, "id": ids})
    sheet = captioned(lines)
    write_atomically(arguments.output / "showable.jpg", encode_photo(Photo(sheet), "jpeg"))
    write_atomically(arguments.output / "showable.json", json.dumps(figures, indent=1).encode())


def shown_people(photos: Photos, portraits: Path, side: int = 128) -> Iterator[Shown]:
    """Yield everybody who may be shown, another photo of each degraded as the input, by fixed seeds.

    portraits: a folder of NAME_1.jpg and NAME_2.jpg, the official portraits; further people are those of `photos`.
    """
    pairs = [(file.stem.removesuffix("_1"), _portraits_of(file)) for file in sorted(portraits.glob("*_1.jpg"))]
    for name in grid_people(photos):
        pairs.append((name, photos.where([person == name for person in photos.people]).pixels[:2]))
    for number, (name, pixels) in enumerate(pairs):
        reference, truth = centre_crops(pixels, side)
        severity = _SEVERITIES[number % len(_SEVERITIES)]
        generator = torch.Generator().manual_seed(number)
        yield Shown(name, reference, truth, degrade(truth, draw(generator, severity), generator), severity)


def _portraits_of(first: Path) -> Tensor:
    """Return the two portraits (2, 3, 256, 256) uint8 of a person, whose first file is given."""
    return read_pixels([first, first.with_name(first.name.replace("_1.jpg", "_2.jpg"))])


def restorations(
    backbone: Backbone, shown: Shown, train: TrainOptions, restore: RestoreOptions
) -> dict[str, np.ndarray]:
    """Return the input, the base model's face, the instant one and the personalized one, (S, S, 3) uint8 each."""
    references = [Reference(shown.reference, judged(backbone, shown.reference))]
    adapter = train_injector(backbone, references, train)
    people: dict[str, Person | None] = {
        "base": None,
        "instant": person_of_references(backbone, references),
        "full": person_of_adapter(backbone, adapter),
    }
    made = {"input": to_pixels(shown.lq)}
    for name, person in people.items():
        (result,) = restore_faces(backbone, [aligned_face(backbone, shown.lq, person)], restore)
        made[name] = result.pixels
    return made


def _identity(judge: FaceResJudge, pixels: np.ndarray, truth: Tensor) -> float:
    made, wanted = judge.embed(torch.stack([to_tensor(pixels), truth]))
    return float(judge.similarity(made, wanted))


def _line(shown: Shown, made: dict[str, np.ndarray], ids: dict[str, float]) -> list[tuple[np.ndarray, str]]:
    """Return a person's line of the sheet: reference, input, what was made of it, truth."""
    middle = [(pixels, f"{name}\n{ids[name]:.2f}") for name, pixels in made.items()]
    return [
        (to_pixels(shown.reference), f"{shown.name}\nreference"),
        *middle,
        (to_pixels(shown.truth), f"truth\n{shown.severity}"),
    ]


if __name__ == "__main__":
    main()
