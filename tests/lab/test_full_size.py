"""Full-size SDXL with random weights on this machine's CPU: real shapes, real module names, real memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.options import TrainOptions
from core.training import train_injector
from lab.bench.full_size_controlnet import measure
from lab.bench.random_bundle import random_backbone
from lab.bench.references import random_references
from tests.lab.small_sdxl import narrow_shapes

_MEMORY_GIB = 14


def test_random_backbone_trains(tmp_path: Path) -> None:
    """A backbone of shapes alone, without a file of weights, does a training step."""
    shapes = narrow_shapes(tmp_path / "shapes")
    backbone = random_backbone(shapes, "cpu", torch.float32, side=64, recognizer_blocks=(1, 1, 1, 1))
    adapter = train_injector(backbone, random_references(backbone, 1), TrainOptions(steps=1, batch_size=1))
    assert all(value.isfinite().all() for value in adapter.lora.values())
    assert any(value.abs().sum() > 0 for name, value in adapter.lora.items() if "lora_B" in name)
    assert backbone.class_prompt().embeds.shape[1] == 77


def test_random_controlnet_trains(tmp_path: Path) -> None:
    """A ControlNet of shapes alone does a step of its pretraining, with the frozen UNet mapped from a file."""
    steps = measure(narrow_shapes(tmp_path / "shapes"), "cpu", 64, tmp_path)
    assert len(steps) == 2
    assert all(step.peak_gib > 0 for step in steps)
    assert (tmp_path / "work" / "checkpoint.safetensors").is_file()


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_full_size_steps() -> None:
    """One training step and one guided sampling step at full size: 6,414,336 parameters, within 14 GiB."""
    free = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvail" in line)
    if free < _MEMORY_GIB << 20:
        pytest.skip(f"{free >> 20} GiB of memory are free, {_MEMORY_GIB} are needed")
    command = [sys.executable, "-m", "lab.bench.full_size", "--side", "128", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert found["lora_parameters"] == 6_414_336
    assert found["unet_parameters"] == 2_567_463_684
    assert len(found["lora_layers"]) == 144
    assert all(name.startswith("up_blocks.") and ".attn2.to_" in name for name in found["lora_layers"])
    assert found["lora_moved"] > 0
    assert max(step["peak_gib"] for step in found["steps"]) < _MEMORY_GIB
