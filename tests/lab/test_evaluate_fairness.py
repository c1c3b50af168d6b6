"""Tests of fairness: thirds of skin tone, intervals of a judge's AUC, and the difference of the outer thirds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lab.evaluate.fairness import GAP, Third, auc_interval, gap
from lab.evaluate.measuring import Measurement
from lab.judges.auc import area_under_curve
from lab.judges.panel import DlibJudge


class _Cosine(DlibJudge):
    """A judge of given embeddings, by their cosine."""

    def __init__(self) -> None:
        pass

    def similarity(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.cosine_similarity(a, b, dim=-1)


def _embeddings(people: int, photos: int, spread: float) -> tuple[torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(people, 8, generator=generator)
    made = centres[:, None] + spread * torch.randn(people, photos, 8, generator=generator)
    return made.flatten(0, 1), [f"p{i}" for i in range(people) for _ in range(photos)]


def test_auc_interval_is_around_the_auc() -> None:
    """The mean is the plain AUC; the interval lies around it, and is wider for fewer people."""
    widths = []
    for people in (4, 16):
        embeddings, names = _embeddings(people, 4, 1.2)
        found = auc_interval(_Cosine(), embeddings, names)
        rows, columns = torch.triu_indices(len(names), len(names), 1)
        similarity = torch.cosine_similarity(embeddings[rows], embeddings[columns]).double().numpy()
        same = np.array(names)[rows.numpy()] == np.array(names)[columns.numpy()]
        assert found.mean == pytest.approx(area_under_curve(similarity[same], similarity[~same]))
        assert found.low < found.mean < found.high
        assert found.people == people
        widths.append(found.high - found.low)
    assert widths[1] < widths[0]


def test_perfect_judge_has_no_spread() -> None:
    """Whoever is drawn, people who are told apart without fail are told apart without fail."""
    found = auc_interval(_Cosine(), *_embeddings(6, 3, 0.0))
    assert (found.low, found.mean, found.high) == (1.0, 1.0, 1.0)


def test_one_person_has_no_auc() -> None:
    """With nobody else to compare with there is no number, and none is made up."""
    found = auc_interval(_Cosine(), *_embeddings(1, 3, 0.5))
    assert np.isnan(found.mean)


def test_gap() -> None:
    """The gap is the lighter third's mean less the darker third's; the middle third has no say."""
    thirds = [
        Third(name, (f"{name}0", f"{name}1"), 0.0, 1.0) for name in ("darker third", "middle third", "lighter third")
    ]

    def measured(row: str, more: float) -> list[Measurement]:
        return [
            Measurement(row, p, f"{p}/a", "light", (), {"psnr": value + more * (t is thirds[2])}, 1.0, None, Path())
            for t, value in zip(thirds, (20.0, 99.0, 23.0), strict=True)
            for p in t.people
        ]

    line = gap(measured("full", 2.0), measured("base", 0.0), ["psnr"], thirds)
    assert line["group"] == GAP
    assert line["pictures"] == 4
    assert line["values"]["psnr"]["mean"] == pytest.approx(5.0)
    assert line["gains"]["psnr"]["mean"] == pytest.approx(2.0)
    assert line["gains"]["psnr"]["people"] == 4
