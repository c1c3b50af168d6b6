"""Times of things that are compared: taken in turns, so that a busy moment falls on all of them alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

import torch


@dataclass(frozen=True)
class Took:
    """What one run took."""

    wall: float  # seconds
    cpu: float  # seconds of all threads: on a busy CPU the steadier figure; on a GPU it says nothing


def timed(work: Callable[[], object]) -> Took:
    """Do some work and return what it took, the accelerator's own queue included."""
    wall, cpu = perf_counter(), process_time()
    work()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return Took(perf_counter() - wall, process_time() - cpu)


def interleaved(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Took]:
    """Return the median of a few rounds in which each work runs once, after one round that does not count."""
    for work in works.values():
        work()
    rounds = [{name: timed(work) for name, work in works.items()} for _ in range(repeats)]
    return {
        name: Took(median(took[name].wall for took in rounds), median(took[name].cpu for took in rounds))
        for name in works
    }
