"""Tests of the verdicts: a claim that holds and one that does not are both told, and none without a judge."""

from pathlib import Path

import pytest

from lab.evaluate.measuring import Measurement
from lab.evaluate.rows import tables
from lab.evaluate.run import MeasuredTable
from lab.evaluate.statistics import lines
from lab.evaluate.verdicts import verdicts

KEY = "id.faceres"
PLAIN = {"delta_e_truth": 3.0, "sharpness": 0.8, "iris_hue": 20.0}


def _measured(
    protocol: str,
    ids: dict[str, float],
    psnr: dict[str, float] | None = None,
    more: dict[str, dict[str, float]] | None = None,
) -> MeasuredTable:
    """Return a protocol's first table in which every row has one ID on all people and inputs, 0.5 if not given."""
    table = tables(protocol, "fast", ["medium", "heavy"])[0]

    def values(row: str, person: int) -> dict[str, float]:
        others = (more or {}).get(row, PLAIN)
        return {KEY: ids.get(row, 0.5) + 0.01 * person, "psnr": (psnr or {}).get(row, 25.0), **others}

    made = [
        Measurement(
            row.name,
            f"p{i}",
            f"p{i}/a",
            name,
            (),
            values(row.name, i),
            1.0,
            None,
            Path("x.png"),
        )
        for row in table.rows
        for i in range(3)
        for name in table.inputs
    ]
    rows = [row.name for row in table.rows]
    return MeasuredTable(table, tuple(made), tuple(lines(made, rows, table.inputs, table.baseline)), {})


def test_main_claims_hold() -> None:
    """Where everything is as it should be, every claim of the main table holds."""
    done = _measured("main", {"input": 0.3, "untuned base": 0.5, "full": 0.65})
    found = verdicts([done], KEY)
    assert len(found) == 4
    assert all(verdict.holds for verdict in found)


@pytest.mark.parametrize(
    ("ids", "psnr", "claim"),
    [
        ({"input": 0.55, "full": 0.65}, {}, "beats the input in ID, medium"),
        ({"input": 0.3, "full": 0.59}, {}, "full over the untuned base, ID"),
        ({"input": 0.3, "full": 0.65}, {"full": 24.8}, "PSNR"),
    ],
)
def test_main_claims_fail(ids: dict[str, float], psnr: dict[str, float], claim: str) -> None:
    """Each claim that does not hold is named."""
    failed = [v.claim for v in verdicts([_measured("main", ids, psnr)], KEY) if not v.holds]
    assert any(claim in name for name in failed)


def test_grid_claims() -> None:
    """The injector must help alone, and another person's must not."""
    good = verdicts([_measured("grid", {"injector": 0.56, "another person's injector": 0.51})], KEY)
    bad = verdicts([_measured("grid", {"injector": 0.54, "another person's injector": 0.53})], KEY)
    assert [v.holds for v in good] == [True, True]
    assert [v.holds for v in bad] == [False, False]


def test_references_claims() -> None:
    """One HQ reference of five may lose a little against five, and both must gain over the base."""
    found = verdicts([_measured("sweep", {"1 of 5 HQ": 0.58, "5 of 5 HQ": 0.62})], KEY)
    assert [v.holds for v in found] == [False, False, True]


def test_ablation_claims() -> None:
    """The directions of Table 2 and Figures 6-8 are told, those that reproduce and those that do not."""
    more = {
        "without prior loss": {**PLAIN, "delta_e_truth": 4.0},
        "without quality tokens and min-SNR": {**PLAIN, "sharpness": 0.9},
    }
    found = verdicts([_measured("ablation", {"full": 0.6, "without prior loss": 0.7}, more=more)], KEY)
    assert len(found) == 8
    assert [v.holds for v in found if v.claim.startswith("Table 2")] == [False, True, True, True, True]
    assert [v.holds for v in found if v.claim.startswith("Figure")] == [True, False, False]


def test_no_judge_no_verdict() -> None:
    """Without a judge that may carry a headline nothing is claimed."""
    assert verdicts([_measured("main", {})], None) == []
