"""Tests of the curves: every sweep has its own, and they can be opened."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lab.evaluate.measuring import Measurement
from lab.evaluate.paper_figures import PAPER_FIGURES, PaperFigure, bars, contrasts
from lab.evaluate.plots import plots
from lab.evaluate.rows import Table, tables
from lab.evaluate.run import MeasuredTable
from lab.evaluate.statistics import lines

DRAWN = {"delta_e_truth": 3.0, "sharpness": 0.8, "iris_hue": 20.0}
SWEEPS = {table.name: table for table in tables("sweep", "fast", ["medium", "heavy"])}


def _measured(table: Table) -> MeasuredTable:
    values = [{"id.x": 0.1 * i, "psnr": 20.0 + i, "quality": 0.5, **DRAWN} for i in range(3)]
    made = [
        Measurement(row.name, f"p{i}", f"p{i}/a", name, (), values[i], 1.0, None, Path("x.png"))
        for row in table.rows
        for i in range(3)
        for name in table.inputs
    ]
    rows = [row.name for row in table.rows]
    return MeasuredTable(table, tuple(made), tuple(lines(made, rows, table.inputs, table.baseline)), {})


@pytest.mark.parametrize("name", ["references", "levels", "fidelity"])
def test_every_sweep_has_its_curve(name: str) -> None:
    """The curve is a picture named after its table."""
    drawn = plots(_measured(SWEEPS[name]), ["id.x", "quality"], ["ID", "quality"])
    assert list(drawn) == [f"{name}.png"]
    width = Image.open(io.BytesIO(drawn[f"{name}.png"])).size[0]
    assert width > 400
    assert (width > 1000) == (name != "fidelity")  # ID and quality side by side


@pytest.mark.parametrize("figure", PAPER_FIGURES)
def test_paper_figures(figure: PaperFigure) -> None:
    """The paper's Figures 6-8 have their bars, and the inputs that show most of it come first."""
    (table,) = tables("ablation", "fast", ["medium"])
    done = _measured(table)
    changed = [
        replace(m, values={**m.values, figure.key: m.values[figure.key] + figure.worse * 0.1 * int(m.person[1:])})
        if m.row == figure.row
        else m
        for m in done.measurements
    ]
    chosen = contrasts(replace(done, measurements=tuple(changed)), figure)
    assert [case.person for case in chosen] == ["p2", "p1", "p0"]
    assert {m.row for m in chosen[0].rows} == {"input", "full", figure.row}
    assert Image.open(io.BytesIO(bars(done, figure, "what it shows"))).size[0] > 400


def test_other_tables_have_none() -> None:
    """A table that is no sweep has no curve."""
    assert plots(_measured(SWEEPS["other"]), ["id.x"], ["ID"]) == {}
