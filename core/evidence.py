"""What was done to a face and whether it helped, and the gate: what is worse than the input is not given out.

The similarities come from a second recognizer that took part neither in training nor in guidance: what the first one
is talked into by guidance does not count.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from core.faces import Box
from core.person import Tier

Outcome = Tier | Literal["untouched"]

_WORSE = 0.05  # cosine that a result may lose before it is looked at again: the second recognizer is that unsure
_RUINED = 0.10  # cosine at which the face is better left as it was
_CONSISTENT_DB = 18.0  # PSNR of small pictures of result and input, below which they contradict each other
_CONTRADICTED_DB = 12.0  # at which the face is better left as it was
_COST_OF_DB = 0.05  # cosine that each dB below consistency counts against a result
_EQUAL_DB = 86.0  # what `consistency_db` says of equal pictures


@dataclass(frozen=True)
class Evidence:
    """What was done to one face."""

    box: Box
    seed: int
    tier: Outcome  # what the result is
    wanted: Tier  # what was tried first
    likeness: float | None  # input to person: 0 = a stranger, 1 = the same
    similarity_before: float | None  # second recognizer's cosine of input and references; None: there is none
    similarity_after: float | None
    consistency_db: float  # PSNR of the model's own output, before blending, and the input, both reduced to a 16th
    colour_shift: float  # delta-E of result and input, low frequencies
    fallback: str | None = None  # why the result is not what was wanted
    warning: str | None = None  # what speaks against the result, where the base model's was no better
    doubt: str | None = None  # what speaks against it that the face is the person's

    @property
    def is_picture(self) -> bool:
        """Say whether the result is made of numbers: networks that overflow leave none."""
        return math.isfinite(self.consistency_db)

    def as_dict(self) -> dict[str, Any]:
        """Return the evidence as JSON knows it."""
        values = {name: _rounded(value) for name, value in vars(self).items() if name != "box"}
        return {"box": [round(side, 1) for side in self.box], **values}


def consistency_db(x: Tensor, lq: Tensor) -> Tensor:
    """Return the PSNR (B,) of two batches in [-1, 1] reduced to 16 px a side: what any blur leaves."""
    reduced = [functional.avg_pool2d(batch, batch.shape[-1] // 16) for batch in (x, lq)]
    error = (reduced[0] - reduced[1]).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / error.clamp_min(1e-8))


def complaint(evidence: Evidence) -> str | None:
    """Return what speaks against a result that was to be a person's, or None."""
    if evidence.tier == "base":
        return None
    if not evidence.is_picture:
        return f"the {evidence.tier} result has numbers that are not finite, unlike the input"
    before, after = evidence.similarity_before, evidence.similarity_after
    if before is not None and after is not None and after < before - _WORSE:
        return f"the {evidence.tier} result was less like the references than the input ({after:.2f} < {before:.2f})"
    if evidence.consistency_db < _CONSISTENT_DB:
        return f"the {evidence.tier} result contradicted the input ({evidence.consistency_db:.1f} dB)"
    return None


def decided(ours: Evidence, base: Evidence) -> Evidence:
    """Return the evidence of the best of three: our own with a warning, the base model's, or the face as it was."""
    said = complaint(ours)
    best = max((ours, base), key=_standing)
    if _ruined(best):
        return replace(
            best,
            tier="untouched",
            similarity_after=best.similarity_before,
            consistency_db=_EQUAL_DB,
            colour_shift=0.0,
            fallback=f"{said}, and the base model's was no better; the face was left as it was",
        )
    if best is base:
        return replace(base, fallback=f"{said}; the base model's was taken")
    return replace(ours, warning=said)


def _standing(evidence: Evidence) -> float:
    """Return how good a result is: its likeness, less what contradicts the input; what is no picture is worst."""
    if not evidence.is_picture:
        return -math.inf
    similarity = 0.0 if evidence.similarity_after is None else evidence.similarity_after
    return similarity + _COST_OF_DB * min(0.0, evidence.consistency_db - _CONSISTENT_DB)


def _ruined(evidence: Evidence) -> bool:
    """Say whether a result is clearly worse than the input was."""
    before, after = evidence.similarity_before, evidence.similarity_after
    lost = before is not None and after is not None and after < before - _RUINED
    return lost or not evidence.is_picture or evidence.consistency_db < _CONTRADICTED_DB


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
