"""Tests of pretraining a ControlNet on a folder of photos: what it looks at, resuming, several processes."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import load_file

from cli.app import main
from core.backbone import Backbone, load_backbone
from core.errors import NoUsableReference
from core.images import encode_photo
from lab.pretrain.controlnet.examples import Examples
from lab.pretrain.controlnet.photos import find_crops
from lab.pretrain.controlnet.run import ControlOptions, pretrain_controlnet
from tests.servers import free_port
from tests.tiny_bundle import photo_of, write_whole_bundle

SHORT = ControlOptions(steps=2, batch_size=2, warmup_steps=1, checkpoint_every=1, workers=0, learning_rate=1e-3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with its detector of marks."""
    return write_whole_bundle(tmp_path_factory.mktemp("controlnet") / "tiny")


@pytest.fixture(scope="module")
def backbone(bundle: Path) -> Backbone:
    """The same, loaded."""
    return load_backbone(bundle)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two square crops, a photo of two faces, one of none, one that is too small, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deeper").mkdir()
    rng = np.random.default_rng(0)
    for name, side in (("a.png", 128), ("deeper/b.jpg", 160), ("small.png", 32)):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / name)
    (folder / "two.png").write_bytes(encode_photo(photo_of((100, 120), (300, 160))))
    (folder / "none.png").write_bytes(encode_photo(photo_of()))
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def trained(backbone: Backbone, photos: Path, work: Path, options: ControlOptions) -> dict[str, torch.Tensor]:
    """Train a copy of the UNet's encoder and return its weights."""
    torch.manual_seed(0)
    controlnet = ControlNetModel.from_unet(backbone.unet, conditioning_embedding_out_channels=(8, 8, 8, 8))
    pretrain_controlnet(backbone, controlnet, photos, work, options)
    return {name: value.clone() for name, value in controlnet.state_dict().items()}


def test_photos(backbone: Backbone, photos: Path, tmp_path: Path) -> None:
    """Square pictures are crops, others give their faces, the rest is counted with its reason, and looked at once."""
    index = tmp_path / "faces.json"
    crops = find_crops(photos, backbone.resolution, lambda: backbone.detector, index)
    assert [face.path for face in crops.faces] == ["a.png", "deeper/b.jpg", "two.png", "two.png"]
    assert set(crops.skipped) == {"broken.jpg", "none.png", "small.png"}
    assert "32 px, wanted at least 64" in crops.skipped["small.png"]
    for face in crops.faces:
        assert face.load(photos, 128).shape == (3, 128, 128)
    seen = json.loads(index.read_text())
    seen["a.png"] = "as it was seen before"
    index.write_text(json.dumps(seen))
    assert "a.png" in find_crops(photos, backbone.resolution, lambda: backbone.detector, index).skipped
    with pytest.raises(NoUsableReference, match="none gives a face"):
        find_crops(photos / "nowhere", 128, lambda: backbone.detector, tmp_path / "other.json")


def test_a_face_is_seen_at_every_noise_level(backbone: Backbone, photos: Path, tmp_path: Path) -> None:
    """What is drawn for an example's noise does not follow from the face that was drawn for it."""
    crops = find_crops(photos, backbone.resolution, lambda: backbone.detector, tmp_path / "faces.json")
    alone = replace(crops, faces=crops.faces[:1])
    seeds = [seed for _, _, seed in (Examples(alone, 40, seed=0)[number] for number in range(40))]
    several = [Examples(replace(crops, faces=crops.faces[:2]), 40, seed=0)[number] for number in range(40)]
    assert len(set(seeds)) == 40
    first = several[0][0]
    levels = {
        int(torch.randint(2, (), generator=torch.Generator().manual_seed(seed)))
        for x, _, seed in several
        if torch.equal(x, first) or torch.equal(x, first.flip(-1))
    }
    assert levels == {0, 1}


def test_killed_and_resumed(backbone: Backbone, photos: Path, tmp_path: Path) -> None:
    """A run in two parts ends with the bits of one in one go; the base learns nothing."""
    before = {name: value.clone() for name, value in backbone.unet.state_dict().items()}
    whole = trained(backbone, photos, tmp_path / "whole", SHORT)
    trained(backbone, photos, tmp_path / "parts", replace(SHORT, steps=1))
    resumed = trained(backbone, photos, tmp_path / "parts", SHORT)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert any(bool(value.abs().sum()) for name, value in whole.items() if name.startswith("controlnet_mid_block"))
    assert all(torch.equal(value, before[name]) for name, value in backbone.unet.state_dict().items())


def test_small_card(bundle: Path, photos: Path, tmp_path: Path) -> None:
    """In bf16 throughout, activations computed again: what 24 GB need at full size."""
    options = replace(SHORT, half_weights=True, checkpointed=True, steps=1)
    weights = trained(load_backbone(bundle, dtype=torch.bfloat16), photos, tmp_path, options)
    assert all(value.dtype == torch.bfloat16 and value.isfinite().all() for value in weights.values())


def test_command(bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command leaves a sealed bundle with another ControlNet, to whose base the same adapters belong."""
    own = Path(shutil.copytree(bundle, tmp_path / "own"))
    before = load_backbone(own)
    with pytest.raises(SystemExit) as ended:
        main([
            "pretrain", "controlnet", "--data", str(photos), "--bundle", str(own), "--work", str(tmp_path / "work"),
            "--steps", "1", "--batch-size", "1", "--device", "cpu",
        ])  # fmt: skip
    assert not ended.value.code
    assert "faces 4, photos skipped 3" in capsys.readouterr().out
    after = load_backbone(own)
    assert after.base_digest == before.base_digest
    assert after.digest != before.digest


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_two_processes(bundle: Path, photos: Path, tmp_path: Path) -> None:
    """Two processes, each with half of every batch, end near where one ends with the whole batches."""
    weights = []
    for world in (1, 2):
        own = Path(shutil.copytree(bundle, tmp_path / f"bundle{world}"))
        launch = ["torch.distributed.run", "--nproc_per_node", str(world), "--master_port", str(free_port())]
        arguments: list[str | Path] = [
            "--data",
            photos,
            "--bundle",
            own,
            "--work",
            tmp_path / f"work{world}",
            "--device",
            "cpu",
        ]
        command: list[str | Path] = [
            "-m",
            "cli.app",
            "pretrain",
            "controlnet",
            *arguments,
            "--steps",
            "2",
            "--batch-size",
            "2",
        ]
        subprocess.run([sys.executable, "-m", *launch, *command], check=True)
        weights.append(load_file(own / "controlnet" / "diffusion_pytorch_model.safetensors"))
    assert all((weights[1][name] - value).abs().max() < 1e-3 for name, value in weights[0].items())
