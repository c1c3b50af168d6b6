"""Tests of the curves: every sweep has its own, and they can be opened."""

import io
from pathlib import Path

import pytest
from PIL import Image

from lab.evaluate.measuring import Measurement
from lab.evaluate.plots import plots
from lab.evaluate.rows import Table, tables
from lab.evaluate.run import MeasuredTable
from lab.evaluate.statistics import lines

SWEEPS = {table.name: table for table in tables("sweep", "fast", ["medium", "heavy"])}


def _measured(table: Table) -> MeasuredTable:
    made = [
        Measurement(
            row.name, f"p{i}", f"p{i}/a", name, (), {"id.x": 0.1 * i, "psnr": 20.0 + i}, 1.0, None, Path("x.png")
        )
        for row in table.rows
        for i in range(3)
        for name in table.inputs
    ]
    rows = [row.name for row in table.rows]
    return MeasuredTable(table, tuple(made), tuple(lines(made, rows, table.inputs, table.baseline)), {})


@pytest.mark.parametrize("name", ["references", "levels", "fidelity"])
def test_every_sweep_has_its_curve(name: str) -> None:
    """The curve is a picture named after its table."""
    drawn = plots(_measured(SWEEPS[name]), "id.x", "ID")
    assert list(drawn) == [f"{name}.png"]
    assert Image.open(io.BytesIO(drawn[f"{name}.png"])).size[0] > 400


def test_other_tables_have_none() -> None:
    """A table that is no sweep has no curve."""
    assert plots(_measured(SWEEPS["other"]), "id.x", "ID") == {}
