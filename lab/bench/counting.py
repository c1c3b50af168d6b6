"""The counted floor: how long a machine would take if it did nothing but the multiplications, at its best."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter

import torch
from torch.utils.flop_counter import FlopCounterMode

from core.backbone import Backbone
from core.options import TrainOptions
from core.references import Reference
from core.training import train_injector

_SIDE = {"cpu": 1024}  # of the matrices whose product is timed; a GPU wants larger ones
_LARGE_SIDE = 8192


def flops(work: Callable[[], object]) -> int:
    """Return the floating-point operations of some work: matrix products, convolutions, attention, backward too."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def training_flops(backbone: Backbone, references: list[Reference], options: TrainOptions) -> int:
    """Return the operations of a whole training, from two short ones: what does not repeat, and two steps more."""
    two, four = (
        flops(partial(train_injector, backbone, references, replace(options, steps=steps))) for steps in (2, 4)
    )
    return two + (four - two) * (options.steps - 2) // 2


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Return the operations a second of one large matrix product: this machine's best, measured."""
    side = _SIDE.get(device.type, _LARGE_SIDE)
    a = torch.ones(side, side, device=device, dtype=dtype)
    a @ a
    best, end = float("inf"), perf_counter() + seconds
    while perf_counter() < end:
        start = perf_counter()
        a @ a
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        best = min(best, perf_counter() - start)
    return 2 * side**3 / best
