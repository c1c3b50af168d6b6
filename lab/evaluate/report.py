"""What was measured -> one JSON document, and a folder with it, the page, the sheets and the curves."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.images import Photo, encode_photo, write_atomically
from core.pixels import to_pixels
from lab.evaluate.dataset import Skipped
from lab.evaluate.fairness import thirds_of
from lab.evaluate.grids import Case, best_and_worst, cases, sheet
from lab.evaluate.html import page
from lab.evaluate.manifest import Manifest
from lab.evaluate.measuring import Measure, Measurement
from lab.evaluate.paper_figures import PAPER_FIGURES, bars, contrasts
from lab.evaluate.people import EvaluatedPerson
from lab.evaluate.perceptual import OWN
from lab.evaluate.plots import CAPTIONS, plots
from lab.evaluate.run import MeasuredTable, Panel, breakdowns
from lab.evaluate.statistics import Line
from lab.evaluate.verdicts import verdicts


@dataclass(frozen=True)
class About:
    """What the figures are of."""

    command: str
    commit: str
    bundle: str
    bundle_digest: str
    preset: str
    device: str
    manifest_sha256: str
    manifest_source: str
    people: str  # tuning, sealed or all
    person_count: int
    photos: str  # how many were used, and how they were cut
    date: str


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report tells."""

    about: About
    tables: tuple[MeasuredTable, ...]
    panel: Panel
    measures: dict[str, Measure]
    missing: dict[str, str]  # metric -> why it is missing
    skipped: tuple[Skipped, ...]
    people: tuple[EvaluatedPerson, ...]
    labels: Mapping[str, str]  # of people, or of single photos
    publishable: bool = False  # nobody's face or name, no file's name

    @property
    def key(self) -> str:
        """Return the ID that cases and curves go by: the headline's, or else the first judge's."""
        return self.panel.headline or f"id.{self.panel.judges[0].name}"

    @property
    def curve_keys(self) -> list[str]:
        """Return what curves show: ID, and the quality that the first metric there is sees without the truth."""
        blind = [name for name in ("clipiqa", "musiq", "maniqa", OWN) if name in self.measures]
        return [self.key, *blind[:1]]


def write_report(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Write `report.json`, `index.html`, the manifest and the pictures; returns what the JSON says."""
    pictures = {done.table.name: _write_pictures(evaluation, done, folder) for done in evaluation.tables}
    told = summary(evaluation, pictures)
    if not evaluation.publishable:
        measured = [_measurement(m, done, folder) for done in evaluation.tables for m in done.measurements]
        write_atomically(folder / "measurements.json", json.dumps(measured, indent=1).encode())
        manifest = Manifest(tuple(person.entry for person in evaluation.people))
        write_atomically(folder / "manifest.json", manifest.text().encode())
    write_atomically(folder / "report.json", json.dumps(told, indent=1).encode())
    write_atomically(folder / "index.html", page(told, evaluation.measures).encode())
    return told


def summary(evaluation: Evaluation, pictures: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, Any]:
    """Return the report as JSON knows it; `pictures` are files beside it with their captions, by table."""
    panel = evaluation.panel
    return {
        "about": asdict(evaluation.about),
        "judges": [
            {
                "name": judge.name,
                "part": judge.part,
                "headline": f"id.{judge.name}" == panel.headline,
                **asdict(panel.standings[judge.name]),
                "auc_by_skin_tone": {third: aucs[judge.name].as_dict() for third, aucs in panel.by_tone.items()},
            }
            for judge in panel.judges
        ],
        "headline": panel.headline,
        "missing_metrics": evaluation.missing,
        "verdicts": [verdict.as_dict() for verdict in verdicts(evaluation.tables, panel.headline)],
        "skipped_count": len(evaluation.skipped),
        "skipped": _skipped(evaluation),
        "skin_tone": [third.as_dict() for third in thirds_of(evaluation.people)],
        "publishable": evaluation.publishable,
        "tables": [{**_table(evaluation, done), "pictures": pictures[done.table.name]} for done in evaluation.tables],
    }


def _skipped(evaluation: Evaluation) -> list[dict[str, str]]:
    """Return what was skipped and why; in a report to publish the reasons alone, counted."""
    if not evaluation.publishable:
        return [asdict(skipped) for skipped in evaluation.skipped]
    counts = Counter(skipped.reason for skipped in evaluation.skipped)
    return [{"name": f"{count} of them", "reason": reason} for reason, count in counts.items()]


def _table(evaluation: Evaluation, done: MeasuredTable) -> dict[str, Any]:
    parts = {}
    if (row := compared_row(done)) and done.table.baseline is not None:
        parts = breakdowns(done, row, evaluation.panel, thirds_of(evaluation.people), evaluation.labels)
    return {
        "name": done.table.name,
        "title": done.table.title,
        "baseline": done.table.baseline,
        "training_seconds": done.training_seconds,
        "lines": [_line(line) for line in done.lines],
        "compared_row": row,
        "breakdowns": parts,
    }


def compared_row(done: MeasuredTable) -> str | None:
    """Return the row whose gain over the baseline is broken down and shown: the fullest of the person's own."""
    own = [row.name for row in done.table.rows if row.who == "own" and row.name != done.table.baseline]
    if not own:
        return None
    return own[0] if done.table.name in ("ablation", "fidelity") else own[-1]


def _line(line: Line) -> dict[str, Any]:
    return {
        **{key: value for key, value in vars(line).items() if key not in ("values", "gains")},
        "values": {key: value.as_dict() for key, value in line.values.items()},
        "gains": {key: value.as_dict() for key, value in line.gains.items()},
    }


def _measurement(m: Measurement, done: MeasuredTable, folder: Path) -> dict[str, Any]:
    return {"table": done.table.name, **m.as_dict(folder)}


def _write_pictures(evaluation: Evaluation, done: MeasuredTable, folder: Path) -> list[dict[str, str]]:
    """Write a table's curves, and the sheets of its cases; returns each file with its caption."""
    titles = [evaluation.measures[key].title for key in evaluation.curve_keys]
    drawn = {
        name: (CAPTIONS[done.table.name], data) for name, data in plots(done, evaluation.curve_keys, titles).items()
    }
    if done.table.name == "ablation":
        for figure in PAPER_FIGURES:
            caption = f"Figure {figure.number}: as the paper has it, {figure.shows}"
            name = f"ablation figure {figure.number}.png"
            drawn[name] = caption, bars(done, figure, evaluation.measures[figure.key].title)
    if not evaluation.publishable:
        for caption, (name, found, key) in _sheets(evaluation, done).items():
            drawn[name] = caption, encode_photo(Photo(sheet(found, _truths(evaluation), key)))
    for name, (_, data) in drawn.items():
        write_atomically(folder / name, data)
    return [{"file": name, "caption": caption} for name, (caption, _) in drawn.items()]


def _sheets(evaluation: Evaluation, done: MeasuredTable) -> dict[str, tuple[str, Sequence[Case], str]]:
    """Return by caption the file, the cases and the figure of a table's sheets."""
    row, name = compared_row(done), done.table.name
    if row is None:
        return {}
    found = cases(done, row, evaluation.key)
    sheets: dict[str, tuple[str, Sequence[Case], str]] = {}
    for given in done.table.inputs:
        chosen = best_and_worst([case for case in found if case.input == given])
        caption = f"{given}: where {row} gained most over {done.table.baseline}, and least; ID and PSNR below"
        sheets[caption] = f"{name} {given}.png", chosen, evaluation.key
    for figure in PAPER_FIGURES if name == "ablation" else ():
        title = evaluation.measures[figure.key].title
        caption = f"Figure {figure.number}: where this shows most, and where least; {title} and PSNR below"
        sheets[caption] = f"{name} figure {figure.number} cases.png", contrasts(done, figure), figure.key
    return sheets


def _truths(evaluation: Evaluation) -> dict[str, np.ndarray]:
    return {trial.entry.photo: to_pixels(trial.truth) for person in evaluation.people for trial in person.trials}
