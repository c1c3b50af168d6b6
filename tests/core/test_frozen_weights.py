"""Tests of half-precision copies of frozen weights."""

import pytest
import torch
from torch import nn

from core.frozen_weights import FrozenWeights


@pytest.fixture
def network() -> nn.Sequential:
    """A frozen convolution and norm, and a linear layer that learns."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(8 * 4 * 4, 3))
    network[0].requires_grad_(False)
    network[1].requires_grad_(False)
    return network


def gradient(network: nn.Sequential, frozen: FrozenWeights) -> torch.Tensor:
    """Return the gradient of the layer that learns, and of the input, in bf16 autocast."""
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    network.zero_grad()
    with frozen.cast():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss: torch.Tensor = network(x).square().mean()
        torch.autograd.backward(loss)
    assert x.grad is not None
    (learned,) = (p.grad for p in network[3].parameters() if p.ndim == 2)
    assert learned is not None
    return torch.cat([x.grad.flatten(), learned.flatten()])


def test_the_same_as_autocast(network: nn.Sequential) -> None:
    """Forward and backward are those of autocast alone, to the bit."""
    without = gradient(network, FrozenWeights([], torch.bfloat16))
    assert torch.equal(gradient(network, FrozenWeights([network], torch.bfloat16)), without)


def test_what_is_cast(network: nn.Sequential) -> None:
    """Frozen convolutions are; norms and what learns are not; afterwards, even after an error, all is as it was."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    frozen = FrozenWeights([network], torch.bfloat16)
    with frozen.cast():
        dtypes = [next(network[i].parameters()).dtype for i in (0, 1, 3)]
    assert dtypes == [torch.bfloat16, torch.float32, torch.float32]
    with pytest.raises(FloatingPointError), frozen.cast():
        raise FloatingPointError
    assert all(value.dtype == torch.float32 for value in network.state_dict().values())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
