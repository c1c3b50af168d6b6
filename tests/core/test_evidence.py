"""Tests of the evidence and of what the gate decides on it."""

import pytest
import torch

from core.evidence import Evidence, complaint, consistency_db, decided
from core.person import Tier


def evidence_of(tier: Tier, after: float | None, consistency: float) -> Evidence:
    """Return what was measured of a face that was 0.5 alike before."""
    before = None if after is None else 0.5
    return Evidence((0.0, 0.0, 9.0, 9.0), 0, tier, "instant", 0.8, before, after, consistency, 1.0)


@pytest.mark.parametrize(("after", "consistency"), [(0.7, 25.0), (0.49, 25.0), (None, 25.0)])
def test_nothing_to_complain_of(after: float | None, consistency: float) -> None:
    """More alike, a hair less, or not measured: all well as long as the input is not contradicted."""
    assert complaint(evidence_of("instant", after, consistency)) is None


@pytest.mark.parametrize(
    ("ours", "base", "taken"),
    [
        ((0.3, 25.0), (0.4, 25.0), "base"),
        ((0.3, 25.0), (0.2, 25.0), "instant"),
        ((0.7, 9.0), (0.6, 22.0), "base"),
        ((0.7, 9.0), (0.6, 8.0), "instant"),
        ((None, 9.0), (None, 22.0), "base"),
    ],
)
def test_what_the_gate_decides(ours: tuple[float | None, float], base: tuple[float | None, float], taken: str) -> None:
    """The base's result is taken where ours lost likeness or contradicts the input, and only where it does better."""
    mine = evidence_of("instant", *ours)
    said = complaint(mine)
    result = decided(mine, evidence_of("base", *base))
    assert said is not None
    assert "input" in said
    assert result.tier == taken
    assert result.wanted == "instant"
    assert (result.fallback or result.warning or "").startswith(said)
    assert (result.fallback is None) == (taken == "instant")
    assert (result.warning is None) == (taken == "base")


def test_the_base_has_nothing_to_fall_back_to() -> None:
    """The base model's own result is never complained of: there is nothing else to take."""
    assert complaint(evidence_of("base", 0.0, 0.0)) is None


def test_consistency_is_psnr_of_small_pictures() -> None:
    """A constant shift of 0.2 is 20 dB of [-1, 1]; fine noise does not count, since small pictures average it out."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 64, 64, generator=generator) - 0.5
    noise = torch.randn(x.shape, generator=generator) * 0.2
    assert consistency_db(x + 0.2, x).tolist() == pytest.approx([20.0, 20.0], abs=1e-3)
    assert (consistency_db(x + noise, x) > 25).all()
