"""Tests of the evidence and of what the gate decides on it."""

import pytest
import torch

from core.evidence import Evidence, complaint, consistency_db, decided
from core.person import Tier


def evidence_of(tier: Tier, after: float | None, consistency: float) -> Evidence:
    """Return what was measured of a face that was 0.5 alike before."""
    before = None if after is None else 0.5
    return Evidence((0.0, 0.0, 9.0, 9.0), 0, tier, "instant", 0.8, before, after, consistency, 1.0)


@pytest.mark.parametrize(("after", "consistency"), [(0.7, 25.0), (0.46, 25.0), (None, 25.0)])
def test_nothing_to_complain_of(after: float | None, consistency: float) -> None:
    """More alike, a hair less, or not measured: all well as long as the input is not contradicted."""
    assert complaint(evidence_of("instant", after, consistency)) is None


@pytest.mark.parametrize(
    ("ours", "base", "taken"),
    [
        ((0.43, 25.0), (0.47, 25.0), "base"),  # less alike, and the base is better
        ((0.43, 25.0), (0.35, 25.0), "instant"),  # less alike, and the base is worse
        ((0.70, 14.0), (0.60, 22.0), "base"),  # contradicts the input, the base does not
        ((0.70, 17.0), (0.46, 22.0), "instant"),  # contradicts it by a little, and the base is another person's
        ((0.70, 13.0), (0.60, 8.0), "instant"),  # both contradict it
        ((None, 14.0), (None, 22.0), "base"),  # nobody to measure likeness
        ((0.30, 25.0), (0.20, 25.0), "untouched"),  # both ruin the face
        ((0.70, 9.0), (0.60, 8.0), "untouched"),  # both show something else
        ((0.30, 25.0), (0.45, 25.0), "base"),
    ],
)
def test_what_the_gate_decides(ours: tuple[float | None, float], base: tuple[float | None, float], taken: str) -> None:
    """Of our result, the base's and the face as it was, the best is taken, and what spoke against ours is said."""
    mine = evidence_of("instant", *ours)
    said = complaint(mine)
    result = decided(mine, evidence_of("base", *base))
    assert said is not None
    assert "input" in said
    assert result.tier == taken
    assert result.wanted == "instant"
    assert (result.fallback or result.warning or "").startswith(said)
    assert (result.fallback is None) == (taken == "instant")
    assert (result.warning is None) == (taken != "instant")


NAN = float("nan")


@pytest.mark.parametrize(
    ("ours", "base", "taken"),
    [
        ((NAN, NAN), (0.47, 25.0), "base"),
        ((None, NAN), (None, 8.0), "untouched"),
        ((NAN, NAN), (NAN, NAN), "untouched"),
    ],
)
def test_no_picture_passes_the_gate(
    ours: tuple[float | None, float], base: tuple[float | None, float], taken: str
) -> None:
    """A result of numbers that are none gives way to the base model's, or to the face as it was."""
    result = decided(evidence_of("personalized", *ours), evidence_of("base", *base))
    assert result.tier == taken
    assert result.consistency_db > 0
    assert result.similarity_after == (None if ours[0] is None else {"base": base[0]}.get(taken, 0.5))


def test_an_untouched_face_is_as_alike_as_it_was() -> None:
    """Where the face was left as it was, the evidence is the input's own."""
    result = decided(evidence_of("instant", 0.1, 25.0), evidence_of("base", 0.1, 25.0))
    assert result.similarity_after == result.similarity_before == 0.5
    assert result.colour_shift == 0
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert result.consistency_db == pytest.approx(float(consistency_db(x, x)[0]), abs=0.1)


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
