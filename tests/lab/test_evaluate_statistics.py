"""Tests of means and intervals: people are resampled, rows compared pair by pair."""

import math
from pathlib import Path

import numpy as np
import pytest

from lab.evaluate.measuring import Measurement
from lab.evaluate.statistics import ALL, ends, gain_of_people, grouped, interval, lines, mean_of_people
from lab.judges.auc import area_under_curve


def _measurement(row: str, person: str, photo: str, psnr: float, name: str = "light") -> Measurement:
    return Measurement(row, person, photo, name, ("blurry",), {"psnr": psnr}, 2.0, None, Path("x.png"))


def test_every_person_counts_the_same() -> None:
    """A person with many photos weighs no more than one with a single photo."""
    many = [_measurement("full", "anna", f"{i}", 10.0) for i in range(9)]
    means = mean_of_people([*many, _measurement("full", "bert", "b", 20.0)], "psnr")
    assert interval(means).mean == pytest.approx(15.0)


def test_interval_covers_the_truth() -> None:
    """Of many samples from a known distribution about 95 % have an interval with the true mean inside."""
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        drawn = {str(i): float(v) for i, v in enumerate(generator.normal(3.0, 1.0, 30))}
        found = interval(drawn)
        hits += found.low <= 3.0 <= found.high
    assert 88 <= hits <= 99


def test_one_person_has_no_interval() -> None:
    """Resampled, one person is always the same: that is no certainty, in figures, in JSON or in words."""
    found = interval({"anna": 0.12})
    assert found.mean == pytest.approx(0.12)
    assert math.isnan(found.low)
    assert found.as_dict() == {"mean": 0.12, "low": None, "high": None, "people": 1}
    assert ends(found.low, found.high, 3) == ends(None, None, 3) == "no interval"
    assert ends(-0.1, 0.25, 2, "+") == "-0.10 to +0.25"


def test_gain_is_paired() -> None:
    """A gain that is the same on every photo has no spread, however different the photos are."""
    base = [_measurement("base", f"p{i}", f"p{i}/a", 10.0 * i) for i in range(5)]
    mine = [_measurement("full", f"p{i}", f"p{i}/a", 10.0 * i + 2) for i in range(5)]
    found = interval(gain_of_people(mine, base, "psnr"))
    assert (found.low, found.mean, found.high) == pytest.approx((2, 2, 2))


def test_lines_by_input_and_together() -> None:
    """A table has a line for every row on every input, and on all together; the baseline gains nothing on itself."""
    made = [
        _measurement(row, "anna", "a", value, name)
        for row, value in (("base", 1.0), ("full", 3.0))
        for name in ("light", "heavy")
    ]
    found = lines(made, ["base", "full"], ["light", "heavy"], "base")
    assert [(line.input, line.row) for line in found] == [
        (name, row) for name in ("light", "heavy", ALL) for row in ("base", "full")
    ]
    assert not found[0].gains
    assert found[-1].gains["psnr"].mean == pytest.approx(2.0)
    assert found[-1].pictures == 2


def test_groups() -> None:
    """A picture counts in every group it belongs to."""
    made = [_measurement("base", "anna", "a", 1.0), _measurement("full", "anna", "a", 4.0)]
    found = grouped(made, "full", "base", ["psnr"], lambda m: m.words)
    assert [(row["group"], row["pictures"], row["gains"]["psnr"]["mean"]) for row in found] == [("blurry", 1, 3.0)]


def test_area_under_curve() -> None:
    """Perfect separation is 1, none is a half, ties count half, and nothing to compare is no number."""
    assert area_under_curve(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert area_under_curve(np.array([1.0, 1.0]), np.array([1.0, 1.0, 1.0])) == 0.5
    assert area_under_curve(np.array([0.0, 2.0]), np.array([1.0])) == 0.5
    assert np.isnan(area_under_curve(np.array([]), np.array([1.0])))
