"""Which dtype computes fastest here: CPUs differ by more than ten times, so it is measured, never assumed.

The one place in core that reads a clock: the answer depends on the machine, not on the inputs.
"""

from functools import cache
from time import perf_counter

import torch
from torch.nn import functional

# bf16 rounds to 8 bits of mantissa: it must pay clearly before it is worth that.
_GAIN_WANTED = 1.25


@cache
def compute_dtype(device: str = "cpu") -> torch.dtype:
    """Return bfloat16 where a short timed convolution shows that it pays, else float32; probed once per process."""
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    fp32, bf16 = (_convolution_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    return torch.bfloat16 if fp32 > _GAIN_WANTED * bf16 else torch.float32


def _convolution_seconds(dtype: torch.dtype, repeats: int = 5) -> float:
    """Return the fastest of a few runs of one convolution of the backbone's usual size, in seconds."""
    x = torch.zeros(8, 128, 16, 16, dtype=dtype)
    weight = torch.zeros(128, 128, 3, 3, dtype=dtype)
    functional.conv2d(x, weight, padding=1)  # the first call compiles the kernel
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        functional.conv2d(x, weight, padding=1)
        seconds.append(perf_counter() - start)
    return min(seconds)
