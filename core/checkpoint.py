"""A training run as a flat dict of tensors, so that it can be kept in safetensors and resumed to the step."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def pack(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, copied: bool = True
) -> dict[str, Tensor]:
    """Return the parameters and Adam's moments, keyed `parameter/NAME` and `MOMENT/NAME`.

    Copies, so that the run may go on; what is written before it does need not be there twice (`copied=False`).
    """
    tensors = {f"parameter/{name}": p.detach() for name, p in parameters.items()}
    for name, p in parameters.items():
        state = optimizer.state.get(p, {})
        tensors |= {f"{key}/{name}": state[key].detach() for key in _MOMENTS if key in state}
    return {name: tensor.clone() for name, tensor in tensors.items()} if copied else tensors


def unpack(
    tensors: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Write what `pack` returned back into the same parameters and optimizer; KeyError for a parameter not in it.

    Moments come to lie where their parameter does, wherever they were read to; Adam counts its steps in main memory.
    """
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(tensors[f"parameter/{name}"])
            there = {key: tensors[f"{key}/{name}"] for key in _MOMENTS if f"{key}/{name}" in tensors}
            if there:
                optimizer.state[p] = {
                    key: value.to("cpu" if key == "step" else p.device, copy=True) for key, value in there.items()
                }
