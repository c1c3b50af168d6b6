"""Tests of an adapter's file: whole, damaged, another bundle's, and as diffusers reads it."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save
from torch import Tensor

from core.adapter_file import FORMAT, export_diffusers, pack_adapter, read_adapter, unpack_adapter
from core.backbone import Backbone
from core.errors import AdapterMismatch, DamagedAdapter
from core.injector import Adapter
from core.options import TrainOptions
from tests.core.conftest import made_adapter

Tensors = dict[str, Tensor]
Metadata = dict[str, str]


def parts(adapter: Adapter) -> tuple[Tensors, Metadata]:
    """Return an adapter's tensors and metadata as its file holds them."""
    data = pack_adapter(adapter)
    return load(data), json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def test_round_trip(backbone: Backbone, alice: Adapter, tmp_path: Path) -> None:
    """A written adapter comes back equal to the bit."""
    path = tmp_path / "alice.safetensors"
    path.write_bytes(pack_adapter(alice))
    got = read_adapter(path, backbone)
    assert got.metadata == alice.metadata
    assert sorted(got.lora) == sorted(alice.lora)
    assert all(torch.equal(got.lora[name], alice.lora[name]) for name in alice.lora)
    for ours, theirs in (
        (got.prompt.embeds, alice.prompt.embeds),
        (got.prompt.pooled, alice.prompt.pooled),
        (got.identity.first, alice.identity.first),
        (got.identity.second, alice.identity.second),
        (got.references, alice.references),
        (got.second_references, alice.second_references),
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("targets", ["all_cross", "decoder_all", "all"])
def test_other_targets(backbone: Backbone, targets: str) -> None:
    """Adapters of the other target sets are read as what they are."""
    adapter = made_adapter(backbone, 4, targets=targets, rank=2)
    assert set(unpack_adapter(pack_adapter(adapter), backbone).lora) == set(adapter.lora)


def _first(tensors: Tensors) -> str:
    return next(name for name in tensors if name.startswith("lora."))


def _drop_weight(tensors: Tensors, _: Metadata) -> None:
    del tensors[_first(tensors)]


def _drop_prompt(tensors: Tensors, _: Metadata) -> None:
    del tensors["prompt.pooled"]


def _add_weight(tensors: Tensors, _: Metadata) -> None:
    tensors["lora.down_blocks.0.attn2.to_q.lora_A.weight"] = torch.zeros(16, 16).half()


def _reshape(tensors: Tensors, _: Metadata) -> None:
    tensors[_first(tensors)] = tensors[_first(tensors)].flatten()


def _widen(tensors: Tensors, _: Metadata) -> None:
    tensors[_first(tensors)] = tensors[_first(tensors)].float()


def _poison(tensors: Tensors, _: Metadata) -> None:
    tensors[_first(tensors)][0, 0] = float("inf")


def _poison_prompt(tensors: Tensors, _: Metadata) -> None:
    tensors["prompt.embeds"][0, 0, 0] = float("nan")


def _drop_references(tensors: Tensors, _: Metadata) -> None:
    tensors["references.first"] = tensors["references.first"][:0]


def _too_many_references(tensors: Tensors, _: Metadata) -> None:
    tensors["references.first"] = tensors["references.first"].repeat(100, 1)
    tensors["references.second"] = torch.zeros(200, 0)


def _long_references(tensors: Tensors, _: Metadata) -> None:
    tensors["references.first"] = tensors["references.first"] * 3e38


def _zero_references(tensors: Tensors, _: Metadata) -> None:
    tensors["references.first"] = torch.zeros_like(tensors["references.first"])


def _odd_type(tensors: Tensors, _: Metadata) -> None:
    tensors["lora.odd"] = torch.zeros(2, dtype=torch.float8_e8m0fnu)


def _scalar_references(tensors: Tensors, _: Metadata) -> None:
    tensors["references.first"] = torch.tensor(1.0)


def _change(metadata: Metadata, **changes: object) -> None:
    metadata[FORMAT] = json.dumps(json.loads(metadata[FORMAT]) | changes)


def _other_format(_: Tensors, metadata: Metadata) -> None:
    metadata["idprefer-adapter-9"] = metadata.pop(FORMAT)


def _two_formats(_: Tensors, metadata: Metadata) -> None:
    metadata["format"] = "pt"


def _no_metadata(_: Tensors, metadata: Metadata) -> None:
    metadata.clear()


def _drop_metadata(_: Tensors, metadata: Metadata) -> None:
    kept = json.loads(metadata[FORMAT])
    del kept["quality_report"]
    metadata[FORMAT] = json.dumps(kept)


def _add_metadata(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, owner="me")


def _no_json(_: Tensors, metadata: Metadata) -> None:
    metadata[FORMAT] = "{steps"


def _list_metadata(_: Tensors, metadata: Metadata) -> None:
    metadata[FORMAT] = "[]"


def _other_rank(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, options=TrainOptions(rank=8).as_dict())


def _huge_rank(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, options=TrainOptions().as_dict() | {"rank": 10**9})


def _text_options(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, options="fast")


def _unknown_option(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, options={"colour": "blue"})


def _other_report(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, quality_report=[{"score": "good", "words": [], "held_out": False}] * 2)


def _short_report(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, quality_report=[{"score": 0.9, "words": ["sharp"], "held_out": False}])


def _one_recognizer(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, recognizers=["0" * 64])


def _no_training(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, training=None)


def _endless_identity(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, training={"steps": 2, "kept_step": 0, "held_out_identity": -math.inf})


def _huge_identity(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, training={"steps": 2, "kept_step": 0, "held_out_identity": 10**400})


def _nameless_bundle(_: Tensors, metadata: Metadata) -> None:
    _change(metadata, bundle=["tiny"])


DAMAGES: list[Callable[[Tensors, Metadata], None]] = [
    _drop_weight,
    _drop_prompt,
    _add_weight,
    _reshape,
    _widen,
    _poison,
    _poison_prompt,
    _drop_references,
    _too_many_references,
    _long_references,
    _zero_references,
    _odd_type,
    _scalar_references,
    _other_format,
    _two_formats,
    _no_metadata,
    _drop_metadata,
    _add_metadata,
    _no_json,
    _list_metadata,
    _other_rank,
    _huge_rank,
    _text_options,
    _unknown_option,
    _other_report,
    _short_report,
    _one_recognizer,
    _no_training,
    _endless_identity,
    _huge_identity,
    _nameless_bundle,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_damaged_in_parts(backbone: Backbone, alice: Adapter, damage: Callable[[Tensors, Metadata], None]) -> None:
    """A file that lacks, adds or changes anything is refused."""
    tensors, metadata = parts(alice)
    damage(tensors, metadata)
    with pytest.raises(DamagedAdapter, match="wanted"):
        unpack_adapter(save(tensors, metadata), backbone)


@pytest.mark.parametrize("data", [b"", b"no adapter", b"\xff" * 64, b"\x08\x00\x00\x00\x00\x00\x00\x00[1,2,3] "])
def test_no_safetensors_at_all(backbone: Backbone, data: bytes) -> None:
    """Bytes of another kind are refused."""
    with pytest.raises(DamagedAdapter, match="wanted"):
        unpack_adapter(data, backbone)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_cut_short(backbone: Backbone, alice: Adapter, share: float) -> None:
    """Half a file is no adapter."""
    data = pack_adapter(alice)
    with pytest.raises(DamagedAdapter, match="wanted"):
        unpack_adapter(data[: int(len(data) * share)], backbone)


def test_too_large(backbone: Backbone, tmp_path: Path) -> None:
    """A file beyond the cap is refused before it is read."""
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(DamagedAdapter, match="at most"):
        read_adapter(path, backbone)


def test_no_file(backbone: Backbone, tmp_path: Path) -> None:
    """A path without a file is named."""
    with pytest.raises(DamagedAdapter, match=r"nobody\.safetensors"):
        read_adapter(tmp_path / "nobody.safetensors", backbone)


def test_another_bundle(backbone: Backbone, alice: Adapter) -> None:
    """An adapter of another UNet is refused, by the names of both bundles."""
    foreign = replace(alice, metadata=alice.metadata | {"bundle": "sdxl", "base_digest": "0" * 64})
    with pytest.raises(AdapterMismatch, match="sdxl.*tiny"):
        unpack_adapter(pack_adapter(foreign), backbone)


def test_another_controlnet_will_do(backbone: Backbone, alice: Adapter) -> None:
    """An adapter is bound to UNet and text encoders: another ControlNet over them may be plugged in."""
    files: dict[str, Any] = backbone.manifest["files"]
    changed = {k: "0" * 64 if k.startswith(("controlnet/", "vae/")) else v for k, v in files.items()}
    other = replace(backbone, manifest=backbone.manifest | {"files": changed})
    assert other.digest != backbone.digest
    assert unpack_adapter(pack_adapter(alice), other).metadata["bundle"] == "tiny"


def test_export_holds_the_same_weights(alice: Adapter, tmp_path: Path) -> None:
    """The exported LoRA is the adapter's under diffusers' prefix, and [V] goes by its usual names."""
    export_diffusers(alice, tmp_path / "out")
    lora = load_file(tmp_path / "out" / "pytorch_lora_weights.safetensors")
    vectors = load_file(tmp_path / "out" / "identity_embeddings.safetensors")
    assert {f"unet.{name}" for name in alice.lora} == set(lora)
    assert torch.equal(vectors["clip_l"], alice.identity.first)
    assert torch.equal(vectors["clip_g"], alice.identity.second)
