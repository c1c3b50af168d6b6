"""One training step of a full-size ControlNet with random weights, by the code of `idprefer pretrain controlnet`.

`python -m lab.bench.full_size_controlnet --side 128` prints a table. The layout is `--small-card`'s: weights and
moments in bf16, activations computed again. The frozen UNet is mapped from a file, as a bundle's is, so that its pages
may leave main memory; all the rest has to stay.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import nn

from core.backbone import Backbone
from core.images import Photo, encode_photo
from core.pixels import to_pixels
from lab.bench.full_size import Step, timed
from lab.bench.random_bundle import random_backbone
from lab.bench.references import random_references
from lab.pretrain.controlnet.run import ControlOptions, pretrain_controlnet

NEEDED_GIB = 12  # that cannot leave main memory: ControlNet, gradients, moments, activations


def measure(shapes: Path, device: str, side: int, folder: Path) -> list[Step]:
    """Build the networks, do a step and write its checkpoint; return what each took."""
    steps: list[Step] = []
    backbone = timed(steps, "random weights drawn, UNet mapped", lambda: _backbone(shapes, device, side, folder))
    options = ControlOptions(steps=1, batch_size=1, workers=0, half_weights=True, checkpointed=True)
    data = folder / "photos"
    data.mkdir()
    pixels = to_pixels(random_references(backbone, 1)[0].crop)
    (data / "nobody.png").write_bytes(encode_photo(Photo(pixels)))
    # Biases are drawn as zeros: in bf16 a first step of 1e-7 is lost on weights of ordinary size.
    before = backbone.controlnet.mid_block.resnets[0].conv1.bias.detach().clone()
    timed(
        steps,
        "one step: photo read and encoded, forward, backward, AdamW; checkpoint of 7 GiB written",
        lambda: pretrain_controlnet(backbone, backbone.controlnet, data, folder / "work", options),
    )
    after = backbone.controlnet.mid_block.resnets[0].conv1.bias
    if not after.isfinite().all() or bool((after == before).all()):
        raise FloatingPointError("the step moved no weight, or to no number; wanted finite weights that learn")
    return steps


def _backbone(shapes: Path, device: str, side: int, folder: Path) -> Backbone:
    """Return random networks without text encoders: their one prompt is encoded, then they go."""
    backbone = random_backbone(shapes, device, side=side, recognizer_blocks=(1, 1, 1, 1))
    backbone.class_prompt()
    for part in ("text_encoder", "text_encoder_2"):
        backbone.__dict__.pop(part)  # cached properties
    if device == "cpu":
        _map(backbone.unet, folder / "unet.safetensors")
    return backbone


def _map(network: nn.Module, path: Path) -> None:
    """Write a network's weights to a file and let them be that file's pages from now on."""
    save_file(network.state_dict(), path)
    network.load_state_dict(load_file(path), assign=True)
    network.requires_grad_(False)


def free_gib() -> float:
    """Return how much memory may be taken without anybody's harm."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=Path, default=Path("bundles/sdxl-shape"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", type=int, default=128, help="px of a crop")
    parser.add_argument("--work", type=Path, help="where 12 GiB of disk are free; without it, the system's own place")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and (free := free_gib()) < NEEDED_GIB:
        raise SystemExit(f"error: got {free:.1f} GiB of free memory, wanted {NEEDED_GIB}; end what else takes memory")
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        steps = measure(arguments.shapes, arguments.device, arguments.side, Path(folder))
    if arguments.json:
        Console().print_json(json.dumps([asdict(step) for step in steps]))
        return
    table = Table("what", "wall, s", "CPU, s", "peak, GiB", title=f"{arguments.side} px", title_justify="left")
    for step in steps:
        table.add_row(step.what, f"{step.wall_seconds:.1f}", f"{step.cpu_seconds:.1f}", f"{step.peak_gib:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
