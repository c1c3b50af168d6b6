"""Tests of the probe for the fastest dtype."""

import pytest
import torch

from core import precision


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Forget what was probed before."""
    precision.compute_dtype.cache_clear()


@pytest.mark.parametrize(("fp32", "bf16", "wanted"), [(2.0, 1.0, "bfloat16"), (1.1, 1.0, "float32"), (1, 9, "float32")])
def test_bf16_only_where_it_pays(monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float, wanted: str) -> None:
    """A clear gain is wanted before bits of mantissa are given up."""
    seconds = {torch.float32: fp32, torch.bfloat16: bf16}
    monkeypatch.setattr(precision, "_convolution_seconds", seconds.__getitem__)
    assert precision.compute_dtype("cpu") == getattr(torch, wanted)


def test_probed_once() -> None:
    """The answer of this machine is one of the two, and stays the same within a process."""
    first = precision.compute_dtype("cpu")
    assert first in (torch.float32, torch.bfloat16)
    assert precision.compute_dtype("cpu") is first
