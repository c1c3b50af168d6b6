"""Tests of `idprefer adapter`: what an adapter says about itself, and its parts for other programs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.adapter_file import pack_adapter, read_adapter
from core.backbone import load_backbone
from core.injector import lora_parameter_count
from tests.cli.conftest import Run


def test_inspect(run: Run, bundle: Path, adapter: Path) -> None:
    """The adapter tells its size, its bundle, its options and the quality of its references."""
    ran = run("adapter", "inspect", adapter, "--json")
    about = json.loads(ran.out)
    backbone = load_backbone(bundle)
    assert about["lora_parameters"] == lora_parameter_count(backbone.unet)
    assert about["bundle"] == "tiny"
    assert about["base_digest"] == backbone.base_digest
    assert about["references"] == len(about["quality_report"]) == 3
    assert about["options"]["steps"] == 4
    assert "base_digest" in run("adapter", "inspect", adapter).out


def test_inspect_prints_foreign_text_as_it_is(run: Run, bundle: Path, adapter: Path, tmp_path: Path) -> None:
    """A bundle's name in an adapter may look like markup or like a word for a picture, and is printed whole."""
    name, theirs = "[/x] [bold]b :cat:", tmp_path / "theirs.safetensors"
    read = read_adapter(adapter, load_backbone(bundle))
    theirs.write_bytes(pack_adapter(replace(read, metadata=read.metadata | {"bundle": name})))
    ran = run("adapter", "inspect", theirs)
    assert ran.code == 0
    assert name in ran.out


def test_export(run: Run, bundle: Path, adapter: Path, tmp_path: Path) -> None:
    """LoRA and [V] are written under the names that diffusers reads."""
    assert run("adapter", "export", adapter, "-o", tmp_path / "out").code == 0
    ours = read_adapter(adapter, load_backbone(bundle))
    lora = load_file(tmp_path / "out" / "pytorch_lora_weights.safetensors")
    vectors = load_file(tmp_path / "out" / "identity_embeddings.safetensors")
    assert set(lora) == {f"unet.{name}" for name in ours.lora}
    assert set(vectors) == {"clip_l", "clip_g"}


@pytest.mark.parametrize("command", [("inspect",), ("export", "-o", "out")])
def test_no_adapter(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """What is no adapter is one line, and nothing is written."""
    path = tmp_path / "no.safetensors"
    path.write_bytes(b"no adapter")
    action, *more = command
    ran = run("adapter", action, path, *(str(tmp_path / word) if word == "out" else word for word in more))
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unknown_export_format(run: Run, adapter: Path, tmp_path: Path) -> None:
    """A format that cannot be written names the one that can."""
    ran = run("adapter", "export", adapter, "-o", tmp_path / "out", "--format", "kohya")
    assert ran.code == 2
    assert "diffusers" in ran.err
