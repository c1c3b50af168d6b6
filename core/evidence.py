"""What was done to a face and whether it helped, and the gate: a person's result that is worse than the input falls.

The similarities come from a second recognizer that took part neither in training nor in guidance: what the first one
is talked into by guidance does not count.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from core.faces import Box
from core.person import Tier

_WORSE = 0.02  # cosine that the second recognizer may lose before the gate falls
_CONSISTENT_DB = 18.0  # PSNR of result and input at a 16th of the side, below which they contradict each other


@dataclass(frozen=True)
class Evidence:
    """What was done to one face."""

    box: Box
    seed: int
    tier: Tier  # what the result is
    wanted: Tier  # what was tried first
    likeness: float | None  # input to person: 0 = a stranger, 1 = the same
    similarity_before: float | None  # second recognizer's cosine of input and references; None: there is none
    similarity_after: float | None
    consistency_db: float  # PSNR of result and input, both reduced to a 16th
    colour_shift: float  # delta-E of result and input, low frequencies
    fallback: str | None = None  # why the result is not what was wanted
    warning: str | None = None  # what speaks against the result, where the base model's was no better

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
    before, after = evidence.similarity_before, evidence.similarity_after
    if before is not None and after is not None and after < before - _WORSE:
        return f"the {evidence.tier} result was less like the references than the input ({after:.2f} < {before:.2f})"
    if evidence.consistency_db < _CONSISTENT_DB:
        return f"the {evidence.tier} result contradicted the input ({evidence.consistency_db:.1f} dB)"
    return None


def decided(ours: Evidence, base: Evidence) -> Evidence:
    """Return the evidence of the better of two results: the base model's, with why, or our own with a warning."""
    said = complaint(ours)
    if ours.consistency_db < _CONSISTENT_DB:
        base_is_better = base.consistency_db > ours.consistency_db
    else:
        base_is_better = _similarity(base) > _similarity(ours)
    if base_is_better:
        return replace(base, fallback=f"{said}; the base model's was taken")
    return replace(ours, warning=said)


def _similarity(evidence: Evidence) -> float:
    return -1.0 if evidence.similarity_after is None else evidence.similarity_after


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
