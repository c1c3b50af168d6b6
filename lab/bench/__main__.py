"""`make bench`: seconds to personalize and to restore on a bundle, beside the plain alternative in the same run."""

import argparse
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table

from core.backbone import Backbone, load_backbone
from core.injector import Adapter
from core.options import PRESETS, RestoreOptions, TrainOptions
from core.precision import compute_dtype
from core.quality import Quality
from core.references import Reference
from core.sampling import FaceCondition, sample
from core.training import train_injector
from lab.bench.plain import plain_restoration, plain_training_seconds

_PLAIN_STEPS = 16  # of training; the rest would be more of the same


def random_references(backbone: Backbone, count: int) -> list[Reference]:
    """Return crops of noise: speed does not depend on who is in them."""
    generator = torch.Generator().manual_seed(0)
    side = backbone.resolution
    return [
        Reference(torch.rand(3, side, side, generator=generator) * 2 - 1, Quality(0.9, ("sharp",)))
        for _ in range(count)
    ]


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a few runs after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return median(seconds)


def restoration_seconds(backbone: Backbone, adapter: Adapter, options: RestoreOptions, faces: int) -> float:
    """Return the time of one batch whose faces never reach their target, so that guidance never rests."""
    lq = torch.stack([reference.crop for reference in random_references(backbone, faces)])
    conditions = [FaceCondition(i, adapter.prompt, adapter, adapter.references[0], 2.0) for i in range(faces)]
    return median_seconds(lambda: sample(backbone, lq, conditions, options), repeats=3)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/mini"))
    parser.add_argument("--preset", choices=PRESETS, default="fast")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    backbone = load_backbone(arguments.bundle, arguments.device)
    options = replace(TrainOptions.preset(arguments.preset), early_stop=None)
    references = random_references(backbone, 5)

    start = perf_counter()
    adapter = train_injector(backbone, references, options)
    ours = perf_counter() - start
    short = replace(options, steps=_PLAIN_STEPS)
    plain = plain_training_seconds(backbone, references, short) / _PLAIN_STEPS * options.steps

    table = Table("what", "seconds", "plain alternative", "times as fast")
    table.add_row(f"personalize, {options.steps} steps", f"{ours:.1f}", f"{plain:.1f}", f"{plain / ours:.2f}")
    restore = RestoreOptions.preset(arguments.preset)
    plain_backbone, plain_restore = plain_restoration(backbone, restore)
    for faces in (1, 4):
        ours = restoration_seconds(backbone, adapter, restore, faces)
        plain = restoration_seconds(plain_backbone, adapter, plain_restore, faces)
        table.add_row(f"guided restore, {faces} at once", f"{ours:.2f}", f"{plain:.2f}", f"{plain / ours:.2f}")
    console = Console()
    console.print(table)
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"{torch.get_num_threads()} threads, {compute_dtype(arguments.device)}, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
