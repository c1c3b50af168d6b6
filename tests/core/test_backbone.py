"""Tests of loading a bundle: whole, damaged, without its optional parts; latents there and back."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from core.backbone import Backbone, file_sha256, files_digest, load_backbone, read_manifest, verify_files
from core.errors import DamagedBundle, MissingBundle


@pytest.fixture
def copied(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


def without(folder: Path, part: str) -> Path:
    """Take an optional part out of a bundle and out of its manifest."""
    shutil.rmtree(folder / part)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"] = {k: v for k, v in manifest["files"].items() if not k.startswith(f"{part}/")}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_loaded_networks_are_frozen(backbone: Backbone) -> None:
    """Every network is in eval mode, in fp32 on a CPU, and learns nothing."""
    for module in (backbone.unet, backbone.controlnet, backbone.vae, backbone.recognizer, backbone.text_encoder):
        assert not module.training
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in module.parameters())


def test_half_precision_on_request(tiny_folder: Path) -> None:
    """In half precision the big networks are halved, and the recognizer, whose gradients would overflow, is not."""
    half = load_backbone(tiny_folder, dtype=torch.bfloat16)
    assert half.unet.dtype == half.vae.dtype == half.text_encoder.dtype == torch.bfloat16
    assert next(half.recognizer.parameters()).dtype == torch.float32
    assert half.class_prompt().embeds.dtype == torch.bfloat16


def test_no_bundle(tmp_path: Path) -> None:
    """A folder without a manifest, or none at all, is named."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MissingBundle, match=folder.name):
            load_backbone(folder)


def test_changed_file(copied: Path) -> None:
    """A file that is not the manifest's is named before any of it is loaded."""
    path = copied / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedBundle, match="unet/diffusion_pytorch_model.safetensors"):
        load_backbone(copied)


def test_lacking_file(copied: Path) -> None:
    """A file that is not there is named."""
    (copied / "vae" / "config.json").unlink()
    with pytest.raises(DamagedBundle, match="lacks vae/config.json"):
        load_backbone(copied)


def test_a_prediction_that_is_unknown(copied: Path) -> None:
    """A UNet that predicts neither eps nor v would be taken for one that does."""
    path = copied / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "sample"}))
    manifest = read_manifest(copied)
    manifest["files"]["scheduler/scheduler_config.json"] = file_sha256(path)
    (copied / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedBundle, match="predicts 'sample'"):
        load_backbone(copied)


@pytest.mark.parametrize("training", [3, {"token_learning_rate": "fast"}, {"token_learning_rate": 0.0}])
def test_a_rate_that_is_none(tmp_path: Path, training: object) -> None:
    """A manifest says a rate that a training can use, or none."""
    about = {"name": "odd", "files": {}, "training": training}
    (tmp_path / "bundle.json").write_text(json.dumps(about))
    with pytest.raises(DamagedBundle, match="wanted a token_learning_rate"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', '{"files": {"../secret": "0"}, "name": "x"}'])
def test_damaged_manifest(copied: Path, text: str) -> None:
    """A manifest that is no JSON, or no manifest, or reaches out of its folder, is a damaged bundle."""
    (copied / "bundle.json").write_text(text)
    with pytest.raises(DamagedBundle):
        load_backbone(copied)


@pytest.mark.parametrize(
    ("part", "attribute"),
    [("preview_decoder", "preview_decoder"), ("quality", "quality"), ("identity_projection", "identity_projection")],
)
@torch.no_grad()
def test_optional_parts(copied: Path, part: str, attribute: str) -> None:
    """A bundle without an optional part loads, and previews through the full VAE."""
    bare = load_backbone(without(copied, part))
    assert getattr(bare, attribute) is None
    assert bare.second_recognizer is None
    latents = torch.randn(1, *bare.latent_shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(bare.preview(latents), bare.decode(latents)) == (part == "preview_decoder")


@torch.no_grad()
def test_latents(backbone: Backbone) -> None:
    """Latents have the shape that is told; the mean repeats, a sample is drawn about it by its generator."""
    side = backbone.resolution
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean = backbone.encode(x)
    assert mean.shape == (2, *backbone.latent_shape)
    assert torch.equal(mean, backbone.encode(x))
    one, again, other = (backbone.encode(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert backbone.decode(mean).shape == backbone.preview(mean).shape == x.shape


def test_class_prompt_without_a_cache(backbone: Backbone, copied: Path) -> None:
    """A bundle without the cached embeds of y* encodes them once."""
    manifest = read_manifest(copied)
    (copied / "class_prompt.safetensors").unlink()
    del manifest["files"]["class_prompt.safetensors"]
    (copied / "bundle.json").write_text(json.dumps(manifest))
    bare = load_backbone(copied)
    assert bare.class_prompt() is bare.class_prompt()
    assert (bare.class_prompt().embeds - backbone.class_prompt().embeds).abs().max() < 2e-2


def test_digests(backbone: Backbone) -> None:
    """The digest covers every file; the base's covers what an adapter is bound to, and nothing else."""
    files = dict(backbone.manifest["files"])
    assert backbone.digest == files_digest(files) == files_digest(dict(reversed(files.items())))
    assert files_digest(files | {"vae/config.json": "0"}) != backbone.digest
    base = [name for name in files if name.startswith(("unet/", "text_encoder", "tokenizer"))]
    assert backbone.base_digest == files_digest({name: files[name] for name in base})


def test_conditions(backbone: Backbone) -> None:
    """SDXL's extra conditions carry the pooled vector and the crop's size for each prompt."""
    added = backbone.added_conditions(backbone.class_prompt().expand(3))
    side = backbone.resolution
    assert added["text_embeds"].shape[0] == 3
    assert added["time_ids"].tolist() == [[side, side, 0, 0, side, side]] * 3


def test_verified_files(tiny_folder: Path) -> None:
    """A whole bundle passes."""
    verify_files(tiny_folder, read_manifest(tiny_folder))
