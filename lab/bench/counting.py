"""The counted floor: how long a machine would take if it did nothing but the multiplications, at its best."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from core.backbone import Backbone
from core.options import TrainOptions
from core.references import Reference
from core.training import train_injector

_SIDE, _LARGE_SIDE = 1024, 8192  # of the matrices whose product is timed, on a CPU and on a GPU


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


def best_rate(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Return the operations a second of a large matrix product or a large convolution, whichever is faster here.

    The best of many short runs: on a CPU that others use too, one of them is undisturbed.
    """
    side = _SIDE if device.type == "cpu" else _LARGE_SIDE
    a = torch.ones(side, side, device=device, dtype=dtype)
    x = torch.ones(16, 256, 32, 32, device=device, dtype=dtype)
    weight = torch.ones(256, 256, 3, 3, device=device, dtype=dtype)
    product = 2 * side**3 / _best_seconds(lambda: a @ a, seconds)
    convolution = 2 * 9 * 256 * x.numel() / _best_seconds(lambda: functional.conv2d(x, weight, padding=1), seconds)
    return max(product, convolution)


def _best_seconds(work: Callable[[], object], seconds: float) -> float:
    best, end = float("inf"), perf_counter() + seconds
    while perf_counter() < end:
        start = perf_counter()
        work()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        best = min(best, perf_counter() - start)
    return best
