"""What was measured -> one JSON document, and a folder with it, the page, the sheets and the curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.images import Photo, encode_photo, write_atomically
from core.restoration import to_pixels
from lab.evaluate.dataset import Skipped
from lab.evaluate.grids import best_and_worst, cases, sheet
from lab.evaluate.html import page
from lab.evaluate.measuring import Measure, Measurement
from lab.evaluate.people import EvaluatedPerson
from lab.evaluate.plots import plots
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
    labels: Mapping[str, str]

    @property
    def key(self) -> str:
        """Return the ID that cases and curves go by: the headline's, or else the first judge's."""
        return self.panel.headline or f"id.{self.panel.judges[0].name}"


def write_report(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Write `report.json`, `index.html` and the pictures; returns what the JSON says."""
    for done in evaluation.tables:
        _write_pictures(evaluation, done, folder)
    told = summary(evaluation)
    measured = [_measurement(m, done, folder) for done in evaluation.tables for m in done.measurements]
    write_atomically(folder / "measurements.json", json.dumps(measured, indent=1).encode())
    write_atomically(folder / "report.json", json.dumps(told, indent=1).encode())
    write_atomically(folder / "index.html", page(told, evaluation.measures, _pictures_in(folder)).encode())
    return told


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Return the report as JSON knows it."""
    panel = evaluation.panel
    return {
        "about": asdict(evaluation.about),
        "judges": [
            {
                "name": judge.name,
                "part": judge.part,
                "headline": f"id.{judge.name}" == panel.headline,
                **asdict(panel.standings[judge.name]),
                "auc_by_skin_tone": {third: aucs[judge.name] for third, aucs in panel.by_tone.items()},
            }
            for judge in panel.judges
        ],
        "headline": panel.headline,
        "missing_metrics": evaluation.missing,
        "verdicts": [verdict.as_dict() for verdict in verdicts(evaluation.tables, panel.headline)],
        "skipped": [asdict(skipped) for skipped in evaluation.skipped],
        "tables": [_table(evaluation, done) for done in evaluation.tables],
    }


def _table(evaluation: Evaluation, done: MeasuredTable) -> dict[str, Any]:
    parts = {}
    if (row := compared_row(done)) and done.table.baseline is not None:
        parts = breakdowns(done, row, evaluation.panel, evaluation.people, evaluation.labels)
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


def _write_pictures(evaluation: Evaluation, done: MeasuredTable, folder: Path) -> None:
    """Write a table's sheet for every input, and its curves."""
    truths = {trial.entry.photo: to_pixels(trial.truth) for p in evaluation.people for trial in p.trials}
    row = compared_row(done)
    if row is not None:
        found = cases(done, row, evaluation.key)
        for name in done.table.inputs:
            chosen = best_and_worst([case for case in found if case.input == name])
            drawn = sheet(chosen, truths, evaluation.key)
            write_atomically(folder / f"{done.table.name} {name}.png", encode_photo(Photo(drawn)))
    for name, data in plots(done, evaluation.key, evaluation.measures[evaluation.key].title).items():
        write_atomically(folder / name, data)


def _pictures_in(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.glob("*.png"))
