"""`make bench`: seconds to personalize and to restore on a bundle, beside the plain alternative in the same run.

A bundle without weights is filled with random ones: `--bundle bundles/sdxl-shape --device cuda` is full-size SDXL.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table

from core.backbone import Backbone, load_backbone, read_manifest
from core.injector import Adapter
from core.layout import SMALL_CARD, Layout
from core.options import PRESETS
from core.precision import compute_dtype
from lab.bench.clock import Took
from lab.bench.counting import best_rate
from lab.bench.full_size import peak_gib
from lab.bench.levers import training_levers
from lab.bench.mixed import mixed_batch
from lab.bench.random_bundle import random_backbone
from lab.bench.workloads import (
    FULL_SIZE,
    Row,
    Workload,
    adapter_swap,
    personalized,
    references_of,
    restored,
    restoring_levers,
    training_steps,
)

_LEVER_STEPS = 4  # of training, for each lever
_WIDTH = 140  # characters of a table
_BATCHES = (1, 4)  # faces at once


def main() -> None:
    """Measure, print tables, and write JSON where asked."""
    arguments = _arguments()
    layout = SMALL_CARD if arguments.small_card else Layout(channels_last=arguments.channels_last)
    random = not read_manifest(arguments.bundle).get("weights", True)
    load = random_backbone if random else load_backbone
    backbone = load(arguments.bundle, arguments.device, layout=layout)
    workload = FULL_SIZE if random else Workload.of_preset(arguments.preset)
    if arguments.steps is not None:
        workload = replace(workload, train=replace(workload.train, steps=arguments.steps))
    console, report = Console(width=_WIDTH), _about(backbone)
    end = perf_counter() + 60 * arguments.minutes
    rates = {name: best_rate(backbone.device, dtype) for name, dtype in _precisions(backbone).items()}
    report["best_tflops"] = {name: rate / 1e12 for name, rate in rates.items()}
    for name, show in _parts(backbone, workload, arguments.repeats, arguments.levers):
        if perf_counter() > end:
            console.print(f"{name}: not run, {arguments.minutes:g} minutes are over")
            continue
        found = show()
        report[name] = [{**asdict(row), "peak_gib": peak_gib()} for row in found] if isinstance(found, list) else found
        console.print(_rows(found, rates) if isinstance(found, list) else _levers(name, found))
    console.print({key: value for key, value in report.items() if not isinstance(value, list)})
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, default=asdict, indent=2) + "\n")


def _parts(
    backbone: Backbone, workload: Workload, repeats: int, levers: bool
) -> Iterator[tuple[str, Callable[[], list[Row] | dict[str, Took]]]]:
    """Return what is to be measured, the main things first; each part is measured when it is called."""
    made: list[Adapter] = []

    def whole() -> list[Row]:
        row, adapter = personalized(backbone, workload)
        made.append(adapter)
        return [row]

    yield "personalize", whole
    if made:
        for faces in _BATCHES:
            yield f"restore {faces}", partial(_restored, backbone, made[0], workload, faces, repeats)
        yield "mixed batch", lambda: [mixed_batch(backbone, made[0], workload.restore, repeats)]
        yield "swap", lambda: [adapter_swap(backbone, made[0], repeats)]
    yield "training steps", lambda: [training_steps(backbone, workload, repeats)]
    if levers and made:
        short = replace(workload.train, steps=_LEVER_STEPS)
        references = references_of(backbone, workload)
        yield "training levers", lambda: training_levers(backbone, references, short, repeats)
        yield "restoring levers", lambda: restoring_levers(backbone, made[0], workload.restore, repeats)


def _restored(backbone: Backbone, adapter: Adapter, workload: Workload, faces: int, repeats: int) -> list[Row]:
    return [restored(backbone, adapter, workload.restore, faces, repeats)]


def _about(backbone: Backbone) -> dict[str, object]:
    on_card = backbone.device.type == "cuda"
    card = torch.cuda.get_device_name() if on_card else f"{torch.get_num_threads()} threads"
    precisions = {name: str(dtype).removeprefix("torch.") for name, dtype in _precisions(backbone).items()}
    return {"bundle": backbone.name, "side": backbone.resolution, "device": card, "precision": precisions}


def _precisions(backbone: Backbone) -> dict[str, torch.dtype]:
    """Return in what restoring and training compute."""
    full = backbone.dtype == torch.float32
    return {"restore": backbone.dtype, "train": compute_dtype(backbone.device.type) if full else backbone.dtype}


def _rows(rows: list[Row], rates: dict[str, float]) -> Table:
    """Show ours and plain, the ratios, the counted floor and how far above it we are."""
    table = Table("what", "s", "CPU s", "plain, s", "plain, CPU s", "times as fast", "by CPU", "floor, s", "over floor")
    for row in rows:
        cells = [row.what, _seconds(row.ours.wall), _seconds(row.ours.cpu)]
        cells += ["", ""] if row.plain is None else [_seconds(row.plain.wall), _seconds(row.plain.cpu)]
        cells += ["", ""] if row.ratios is None else [f"{ratio:.2f}" for ratio in row.ratios]
        rate = rates["train" if row.training else "restore"]
        floor = None if row.tflop is None else row.tflop * 1e12 / rate
        cells += ["", ""] if floor is None else [_seconds(floor), f"{row.ours.wall / floor:.1f}"]
        table.add_row(*cells)
    return table


def _levers(title: str, levers: dict[str, Took]) -> Table:
    table = Table("without", "s", "CPU s", "times as long", "by CPU", title=title, title_justify="left")
    base = levers["all"]
    for name, took in levers.items():
        ratios = (took.wall / base.wall, took.cpu / base.cpu)
        shown = "(all on)" if name == "all" else name
        table.add_row(shown, _seconds(took.wall), _seconds(took.cpu), *(f"{ratio:.2f}" for ratio in ratios))
    return table


def _seconds(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/mini"))
    parser.add_argument("--preset", choices=PRESETS, default="fast", help="of a bundle with weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, help="of training, instead of the workload's own")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of what is compared")
    parser.add_argument("--levers", action="store_true", help="also each speed lever by itself")
    parser.add_argument("--channels-last", action="store_true", help="another memory order of convolutions")
    parser.add_argument("--small-card", action="store_true", help="offloaded, tiled, checkpointed")
    parser.add_argument("--minutes", type=float, default=8, help="after which no further part is begun")
    parser.add_argument("--json", type=Path, help="also write what was measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
