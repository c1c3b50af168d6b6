"""One real training step and one guided sampling step of full-size SDXL with random weights: do they fit, and how long?

`python -m lab.bench.full_size --side 256` prints a table; on a CPU it wants about 12 GB and a few minutes.
"""

import argparse
import json
import resource
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import torch
from rich.console import Console
from rich.table import Table

from core.backbone import Backbone
from core.injector import Adapter, target_modules
from core.layout import SMALL_CARD, Layout
from core.options import RestoreOptions, TrainOptions
from core.sampling import FaceCondition, sample
from core.training import train_injector
from lab.bench.random_bundle import random_backbone
from lab.bench.references import random_references

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """What one thing took."""

    what: str
    wall_seconds: float
    cpu_seconds: float  # of all threads; the wall clock of a busy machine says little
    peak_gib: float  # of the process so far: main memory, or the card's where there is one


@dataclass(frozen=True)
class FullSize:
    """What was run, and what it took."""

    side: int  # px
    dtype: str
    threads: int
    unet_parameters: int
    controlnet_parameters: int
    lora_parameters: int
    lora_layers: list[str]  # the real module names that carry LoRA
    lora_moved: float  # largest change of a LoRA weight in the one step
    steps: list[Step]


def measure(shapes: Path, device: str, side: int, layout: Layout) -> FullSize:
    """Build the networks, do the two steps, and return what they took."""
    steps: list[Step] = []
    backbone = timed(steps, "random weights drawn", lambda: random_backbone(shapes, device, side=side, layout=layout))
    adapter = timed(steps, "training step, tokens and LoRA, batch 1", lambda: _trained(backbone, pivot=1.0))
    timed(steps, "training step, LoRA alone, batch 1", lambda: _trained(backbone, pivot=0.0))
    timed(steps, "guided sampling step with CFG, one face", lambda: _restored(backbone, adapter))
    return FullSize(
        side=side,
        dtype=str(backbone.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        unet_parameters=sum(p.numel() for p in backbone.unet.parameters()),
        controlnet_parameters=sum(p.numel() for p in backbone.controlnet.parameters()),
        lora_parameters=sum(value.numel() for value in adapter.lora.values()),
        lora_layers=target_modules(backbone.unet),
        lora_moved=max(float(value.abs().max()) for name, value in adapter.lora.items() if "lora_B" in name),
        steps=steps,
    )


def _trained(backbone: Backbone, pivot: float) -> Adapter:
    """Do one step of a training, with all three losses."""
    options = TrainOptions(steps=1, batch_size=1, pivot=pivot, identity_every=1)
    return train_injector(backbone, random_references(backbone, 1), options)


def _restored(backbone: Backbone, adapter: Adapter) -> torch.Tensor:
    """Do one step of a restoration, whose guidance never rests, from encoding to decoding."""
    options = RestoreOptions(steps=1, guidance_window=(0.0, 1000.0))
    lq = random_references(backbone, 1)[0].crop[None]
    condition = FaceCondition(0, adapter.prompt, adapter, adapter.references[0], 2.0)
    restored = sample(backbone, lq, [condition], options)
    if not restored.isfinite().all():
        raise FloatingPointError("the restored face is not finite, wanted numbers")
    return restored


def timed(steps: list[Step], what: str, work: Callable[[], T]) -> T:
    """Do some work and note what it took."""
    wall, cpu = perf_counter(), process_time()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    steps.append(Step(what, perf_counter() - wall, process_time() - cpu, peak_gib()))
    return result


def peak_gib() -> float:
    """Return the most memory that was ever in use: the card's where one is, else the process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=Path, default=Path("bundles/sdxl-shape"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", type=int, default=256, help="px of a crop")
    parser.add_argument("--small-card", action="store_true", help="offloaded, tiled, checkpointed")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    layout = SMALL_CARD if arguments.small_card else Layout()
    found = measure(arguments.shapes, arguments.device, arguments.side, layout)
    console = Console()
    if arguments.json:
        console.print_json(json.dumps(asdict(found)))
        return
    table = Table(
        "what", "wall, s", "CPU, s", "peak, GiB", title=f"{found.side} px, {found.dtype}", title_justify="left"
    )
    for step in found.steps:
        table.add_row(step.what, f"{step.wall_seconds:.1f}", f"{step.cpu_seconds:.1f}", f"{step.peak_gib:.2f}")
    console.print(table)
    console.print(f"UNet {found.unet_parameters:,}, ControlNet {found.controlnet_parameters:,} parameters")
    console.print(
        f"LoRA {found.lora_parameters:,} parameters on {len(found.lora_layers)} layers, {found.threads} threads"
    )


if __name__ == "__main__":
    main()
