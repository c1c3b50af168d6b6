"""`python -m lab.evaluate.limits --data DIR`: what glasses, heavy make-up and turned heads in the references do.

They are drawn on the tuning people's own photos, on two or all of their five references or on the photo that is to be
restored, and every result stands beside the one without them: same person, same input, same noise.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Printed
from torch import Tensor

from core.alignment import ffhq_template
from core.backbone import load_backbone
from core.images import Photo as Pixels
from core.images import encode_photo, write_atomically
from core.options import RestoreOptions, TrainOptions
from core.pixels import to_pixels, to_tensor
from lab.evaluate.dataset import list_people
from lab.evaluate.drawing import Drawing, glasses, made_up, turned
from lab.evaluate.grids import captioned
from lab.evaluate.manifest import REFERENCES, SEVERITIES, make_manifest
from lab.evaluate.openings import chosen_people
from lab.evaluate.people import EvaluatedPerson, read_people
from lab.evaluate.restoring import Picture, Studio
from lab.evaluate.rows import Row
from lab.evaluate.statistics import ends, interval
from lab.judges.panel import FaceResJudge, Judge

PLAIN = "as they are"
_TWO = 2  # of the five references
_DRAWINGS: dict[str, Drawing] = {"glasses": glasses, "heavy make-up": made_up, "turned head": turned}
_TRANSFERRED = ("glasses", "heavy make-up")  # lie where they were drawn, so that what is left of them can be measured
_SEEN = 0.02  # of the range: a pixel counts as drawn on where it changed by more


@dataclass(frozen=True)
class Condition:
    """What is drawn where."""

    name: str
    what: str | None  # of the drawings; None: nothing
    references: int = 0  # on how many
    photo: bool = False  # on the photo that is to be restored, and on its truth

    def applied(self, person: EvaluatedPerson, seed: int) -> EvaluatedPerson:
        """Return the person with the drawing on photos of theirs, drawn by lot."""
        if self.what is None:
            return person
        order = np.random.default_rng([seed, *person.name.encode()]).permutation(REFERENCES)
        chosen = {person.entry.references[i].photo for i in order[: self.references]}
        chosen |= {trial.entry.photo for trial in person.trials} if self.photo else set()
        photos = {
            name: replace(photo, crop=drawn(self.what, photo.crop)) if name in chosen else photo
            for name, photo in person.photos.items()
        }
        trials = tuple(replace(trial, photo=photos[trial.entry.photo]) for trial in person.trials)
        return replace(person, photos=photos, trials=trials)


CONDITIONS = (
    Condition(PLAIN, None),
    *(
        condition
        for what in _DRAWINGS
        for condition in (
            Condition(f"{what}, {_TWO} of {REFERENCES} references", what, references=_TWO),
            Condition(f"{what}, all {REFERENCES} references", what, references=REFERENCES),
            Condition(f"{what}, the photo alone", what, photo=True),
        )
    ),
)


@dataclass(frozen=True)
class Result:
    """One picture's figures."""

    row: str
    condition: str
    person: str
    photo: str
    id: float  # to the photo's truth as it was drawn
    input_id: float  # the same of the input
    id_references: float  # mean over the clean references without a drawing
    transfer: float | None  # of the drawing, seen in the result: 0 none of it, 1 all of it
    input_transfer: float | None  # the same of the input


def drawn(what: str, x: Tensor) -> Tensor:
    """Return an aligned crop (3, S, S) with a drawing on it, in 8-bit steps as a file would have it."""
    return to_tensor(to_pixels(_DRAWINGS[what](x, ffhq_template(x.shape[-1]))))


def transfer(what: str, truth: Tensor, with_it: Tensor, without_it: Tensor) -> float:
    """Return how much of a drawing lies between two pictures: the share of it that their difference holds.

    All are (3, S, S); the drawing is projected upon, where it changes the truth.
    """
    stroke = drawn(what, truth) - truth
    stroke = stroke * (stroke.abs().amax(0) > 2 * _SEEN)
    return float((stroke * (with_it - without_it)).sum() / (stroke**2).sum())


def results(
    studio: Studio, judge: Judge, person: EvaluatedPerson, row: Row, severity: str, seed: int
) -> Iterator[Result]:
    """Yield what a row makes of a person under every condition."""
    plain = studio.pictures(row, person, person, (severity,))
    for condition in CONDITIONS:
        altered = condition.applied(person, seed)
        pictures = studio.pictures(row, altered, altered, (severity,))
        for before, after in zip(person.trials, altered.trials, strict=True):
            key = before.entry.photo, severity
            made, lq = _tensor(pictures[key]), after.degraded(severity)
            to_truth, lq_to_truth = _alike(judge, [made, lq], [after.truth])
            kept: tuple[float | None, float | None] = None, None
            if (what := condition.what) in _TRANSFERRED:
                kept = (
                    transfer(what, before.truth, made, _tensor(plain[key])),
                    transfer(what, before.truth, lq, before.degraded(severity)),
                )
            yield Result(
                row.name,
                condition.name,
                person.name,
                before.entry.photo,
                to_truth,
                lq_to_truth,
                _alike(judge, [made], [person.photos[r.photo].crop for r in person.entry.references])[0],
                *kept,
            )


def summary(found: Sequence[Result], row: str) -> list[dict[str, Any]]:
    """Return a row's conditions with intervals over people, differences from the plain condition in pairs."""
    mine = [result for result in found if result.row == row]
    plain = {result.photo: result for result in mine if result.condition == PLAIN}
    lines = []
    for condition in dict.fromkeys(result.condition for result in mine):
        here = [result for result in mine if result.condition == condition]
        line: dict[str, Any] = {"condition": condition, "pictures": len(here)}
        for name in ("id", "id_references"):
            line[name] = _over_people({r: getattr(r, name) for r in here})
            line[f"{name}_less_plain"] = _over_people(
                {r: getattr(r, name) - getattr(plain[r.photo], name) for r in here}
            )
        line["id_less_input"] = _over_people({r: r.id - r.input_id for r in here})
        for name in ("transfer", "input_transfer") if here[0].transfer is not None else ():
            line[name] = _over_people({r: getattr(r, name) for r in here})
        lines.append(line)
    return lines


def sheet(
    studio: Studio, people: Sequence[EvaluatedPerson], row: Row, severity: str, seed: int, what: str
) -> np.ndarray:
    """Draw what a row makes of a drawing, a person a line: drawn reference, input, plain result, every condition."""
    lines = []
    for person in people:
        trial = person.trials[0]
        key = trial.entry.photo, severity
        reference = person.photos[person.entry.references[0].photo].crop
        line = [(to_pixels(drawn(what, reference)), f"{person.name}\n{what[:22]}")]
        line.append((to_pixels(trial.degraded(severity)), "input"))
        for condition in (c for c in CONDITIONS if c.what in (None, what)):
            altered = condition.applied(person, seed)
            made = studio.pictures(row, altered, altered, (severity,))[key]
            line.append((made.pixels(), "\n".join(condition.name.split(", "))[:44]))
        lines.append([*line, (to_pixels(trial.truth), "truth")])
    return captioned(lines)


def _over_people(found: Mapping[Result, float]) -> dict[str, Any]:
    """Return the mean over people of figures of results, with its interval."""
    people: dict[str, list[float]] = {}
    for result, value in found.items():
        people.setdefault(result.person, []).append(value)
    return interval({person: float(np.mean(values)) for person, values in people.items()}).as_dict()


def _alike(judge: Judge, made: Sequence[Tensor], others: Sequence[Tensor]) -> list[float]:
    """Return how alike each picture is to the others, on average."""
    embeddings = judge.embed(torch.stack([*made, *others]))
    mine, theirs = embeddings[: len(made)], embeddings[len(made) :]
    return [float(judge.similarity(one.expand_as(theirs), theirs).mean()) for one in mine]


def _tensor(picture: Picture) -> Tensor:
    return to_tensor(picture.pixels())


def _printed(lines: Sequence[dict[str, Any]], title: str) -> Printed:
    names = ("id", "id_less_plain", "id_less_input", "id_references_less_plain", "transfer", "input_transfer")
    printed = Printed("condition", *(name.replace("_", " ") for name in names), title=title, title_justify="left")
    for line in lines:
        printed.add_row(line["condition"], *(_shown(line.get(name)) for name in names))
    return printed


def _shown(value: dict[str, float] | None) -> str:
    return "" if value is None else f"{value['mean']:+.3f} ({ends(value['low'], value['high'], 3, '+')})"


def main() -> None:
    """Restore the tuning people under every condition, and print what it does to them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of person/photo.jpg")
    parser.add_argument("--bundle", type=Path, default=Path("bundles/mini"))
    parser.add_argument("--judge", type=Path, default=Path(".work/judges/faceres.json"))
    parser.add_argument("--output", type=Path, default=Path(".work/limits"))
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--severity", default="heavy", choices=SEVERITIES)
    parser.add_argument("--photos", type=int, default=2, help="test photos of each person")
    parser.add_argument("--people", type=int, help="only the first of them")
    parser.add_argument("--trained", type=int, default=5, help="people for whom adapters are trained, too")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # 1. the tuning people, and two ways to restore them, neither with the gate
    backbone, judge = load_backbone(arguments.bundle), FaceResJudge(arguments.judge)
    photos = list_people(arguments.data)
    manifest, _ = make_manifest({name: photos[name] for name in chosen_people(photos, "tuning")})
    people, _ = read_people(arguments.data, manifest.limited(arguments.people, arguments.photos), backbone, "auto")
    studio = Studio(backbone, arguments.output / "made")
    restore, train = RestoreOptions.preset(arguments.preset), TrainOptions.preset(arguments.preset)
    rows = {
        Row("instant", "references", restore, good_references=REFERENCES): people,
        Row("full", "own", restore, train, good_references=REFERENCES): people[: arguments.trained],
    }
    # 2. every condition, and what it did
    console = Console()
    told: dict[str, Any] = {"severity": arguments.severity, "preset": arguments.preset, "seed": arguments.seed}
    for row, whom in rows.items():
        found: list[Result] = []
        for person in whom:
            found += results(studio, judge, person, row, arguments.severity, arguments.seed)
            console.print(f"{row.name}: {person.name}", highlight=False)
        told[row.name] = {
            "people": len(whom),
            "lines": summary(found, row.name),
            "pictures": [asdict(r) for r in found],
        }
        write_atomically(arguments.output / "limits.json", json.dumps(told, indent=1).encode())
        for what in _DRAWINGS if found else ():
            drawn_sheet = sheet(studio, whom, row, arguments.severity, arguments.seed, what)
            write_atomically(arguments.output / f"{row.name} {what}.png", encode_photo(Pixels(drawn_sheet)))
        if found:
            console.print(_printed(told[row.name]["lines"], f"{row.name}, {arguments.severity}, {len(whom)} people"))


if __name__ == "__main__":
    main()
