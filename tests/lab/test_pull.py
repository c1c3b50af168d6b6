"""Tests of `bundle pull` against a hub on loopback: whole, cut off and gone on with, refused."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cli.app import main
from core.backbone import load_backbone, read_manifest, verify_files
from core.errors import DamagedBundle, InvalidOption, MissingBundle
from core.injector import lora_parameter_count
from core.options import RestoreOptions, TrainOptions
from core.quality import Quality
from core.references import Reference
from core.sampling import FaceCondition, sample
from core.training import train_injector
from lab.pull.errors import LicenceNotAccepted, LockMismatch, PullFailed
from lab.pull.recipes import SDXL, recipe_named, with_controlnet
from lab.pull.run import Pull, Terms, pull
from tests.lab.fake_hub import FakeHub, served
from tests.lab.small_sdxl import small_hub
from tests.tiny_bundle import write_whole_bundle

BASE = "stabilityai/stable-diffusion-xl-base-1.0"
UNET = "unet/diffusion_pytorch_model.safetensors"
REMOTE_UNET = "unet/diffusion_pytorch_model.fp16.safetensors"


def yes(_terms: object) -> bool:
    """Accept everything."""
    return True


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> FakeHub:
    """The repositories; tests serve copies."""
    return small_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def companion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that lends its faces."""
    return write_whole_bundle(tmp_path_factory.mktemp("companion") / "tiny")


@pytest.fixture
def hub(content: FakeHub) -> Iterator[FakeHub]:
    """A hub of its own for each test."""
    own = FakeHub()
    own.repositories = {name: dict(files) for name, files in content.repositories.items()}
    own.licences = dict(content.licences)
    with served(own):
        yield own


@pytest.fixture
def wanted(hub: FakeHub, companion: Path, tmp_path: Path) -> Pull:
    """A pull of sdxl from that hub."""
    return Pull(SDXL, tmp_path / "sdxl", tmp_path / "sdxl.lock.json", companion, endpoint=hub.url)


def test_pulled_bundle_trains_and_restores(hub: FakeHub, wanted: Pull) -> None:
    """What a pull leaves is loaded by the one code path, personalizes and restores; a second pull fetches nothing."""
    shown: list[Terms] = []
    folder = pull(wanted, lambda terms: not shown.extend(terms))  # type: ignore[func-returns-value]
    assert {terms.licence for terms in shown} == {"CreativeML Open RAIL++-M", "MIT", "Apache-2.0"}
    lock = json.loads(wanted.lock.read_text())
    assert lock["components"]["base"]["revision"] == hub.revision(BASE)
    files = read_manifest(folder)["files"]
    assert {name: files[name] for c in lock["components"].values() for name in c["files"]}.items() <= files.items()
    backbone = load_backbone(folder)
    assert backbone.resolution == 512
    assert backbone.latent_shape == (4, 64, 64)
    assert (backbone.tokenizer.model_max_length, len(backbone.class_prompt().embeds[0])) == (77, 77)
    backbone = replace(backbone, manifest={**backbone.manifest, "resolution": 64})  # 512 px would take its time
    crop = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    adapter = train_injector(backbone, [Reference(crop, Quality(0.9, ("sharp",)))], TrainOptions(steps=1, batch_size=1))
    assert sum(value.numel() for value in adapter.lora.values()) == lora_parameter_count(backbone.unet)
    condition = FaceCondition(0, adapter.prompt, adapter, adapter.references[0], 2.0)
    restored = sample(backbone, crop[None], [condition], RestoreOptions(steps=2))
    assert restored.isfinite().all()
    hub.fetched.clear()
    pull(wanted, yes)
    assert hub.fetched == []


def test_licence_not_accepted(hub: FakeHub, wanted: Pull) -> None:
    """Without a yes nothing is fetched and nothing is left."""
    with pytest.raises(LicenceNotAccepted, match="nothing was fetched"):
        pull(wanted, lambda _terms: False)
    assert hub.fetched == []
    assert not wanted.folder.exists()
    assert not wanted.lock.exists()


def test_cut_off_and_gone_on_with(hub: FakeHub, wanted: Pull, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull whose hub goes down in the middle of a file goes on there, at the locked revision."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1024)  # it writes 10 MB at a time
    size = len(hub.repositories[BASE][REMOTE_UNET])
    listings = sum(len(json.dumps(hub.listing(name))) for name in hub.repositories)
    hub.breaks_after = listings + len(hub.repositories[BASE]["unet/config.json"]) + size // 2
    with pytest.raises(PullFailed, match="pull again to go on"):
        pull(wanted, yes)
    assert not (wanted.folder / UNET).exists()
    revision = json.loads(wanted.lock.read_text())["components"]["base"]["revision"]
    hub.breaks_after = None
    hub.fetched.clear()
    verify_files(pull(wanted, yes), read_manifest(wanted.folder))
    assert dict(hub.fetched)[REMOTE_UNET] == f"bytes={size // 2 // 1024 * 1024}-"
    assert "unet/config.json" not in dict(hub.fetched)
    assert json.loads(wanted.lock.read_text())["components"]["base"]["revision"] == revision
    assert not (wanted.folder / ".partial").exists()


def test_wrong_bytes_refused(hub: FakeHub, wanted: Pull) -> None:
    """Bytes other than the locked ones never take their place, whether the listing tells or not."""
    pull(wanted, yes)
    shutil.rmtree(wanted.folder)
    files = hub.repositories[BASE]
    files["unet/config.json"] = files["unet/config.json"].replace(b'"silu"', b'"relu"')
    with pytest.raises(LockMismatch, match=r"unet/config\.json has SHA-256 \w+, wanted"):
        pull(wanted, yes)
    assert not (wanted.folder / "unet" / "config.json").exists()
    files[REMOTE_UNET] = files[REMOTE_UNET][:-1] + b"x"
    hub.fetched.clear()
    (wanted.folder / "unet").mkdir(exist_ok=True)
    files["unet/config.json"] = files["unet/config.json"].replace(b'"relu"', b'"silu"')
    with pytest.raises(LockMismatch, match="nothing was fetched"):
        pull(wanted, yes)
    assert REMOTE_UNET not in dict(hub.fetched)


def test_a_damaged_file_is_brought_again(hub: FakeHub, wanted: Pull) -> None:
    """A file that rotted on disk is fetched anew, and only that one."""
    path = pull(wanted, yes) / "vae" / "config.json"
    path.write_text("{}")
    hub.fetched.clear()
    pull(wanted, yes)
    assert [name for name, _ in hub.fetched] == ["config.json"]


def test_lock_of_something_else(wanted: Pull) -> None:
    """Another bundle's lock, or none at all, or another ControlNet's, is named."""
    for text in ("{}", "[]", '{"bundle": "other", "components": {}}'):
        wanted.lock.write_text(text)
        with pytest.raises(LockMismatch, match=r"sdxl\.lock\.json"):
            pull(wanted, yes)
    wanted.lock.unlink()
    pull(wanted, yes)
    other = replace(wanted, recipe=with_controlnet(SDXL, "somebody/control"))
    with pytest.raises(LockMismatch, match="controlnet from xinsir"):
        pull(other, yes)


def test_another_controlnet(hub: FakeHub, wanted: Pull) -> None:
    """A ControlNet out of a repository's folder, with the licence of its card; one that does not fit is refused."""
    files = hub.repositories["xinsir/controlnet-tile-sdxl-1.0"]
    hub.repositories["thomas2modyu/FaceMe"] = {f"net/{name}": data for name, data in files.items()}
    hub.licences["thomas2modyu/FaceMe"] = "other"
    shown: list[Terms] = []
    own = replace(wanted, recipe=with_controlnet(SDXL, "thomas2modyu/FaceMe/net"))
    pull(own, lambda terms: not shown.extend(terms))  # type: ignore[func-returns-value]
    control = next(terms for terms in shown if terms.what == "controlnet")
    assert (control.licence, control.non_commercial) == ("other", True)
    config = json.loads(files["config.json"]) | {"cross_attention_dim": 8}
    hub.repositories["somebody/else"] = {**files, "config.json": json.dumps(config).encode()}
    hub.licences["somebody/else"] = "mit"
    recipe = with_controlnet(SDXL, "somebody/else")
    folder = wanted.folder.with_name("other")
    with pytest.raises(DamagedBundle, match="cross_attention_dim is 8"):
        pull(replace(wanted, recipe=recipe, folder=folder, lock=folder.with_suffix(".lock")), yes)


def test_what_the_hub_lacks(hub: FakeHub, wanted: Pull) -> None:
    """A file or a repository that is not there is named, with what is."""
    files = hub.repositories.pop("madebyollin/taesdxl")
    with pytest.raises(PullFailed, match="madebyollin/taesdxl"):
        pull(wanted, yes)
    del files["config.json"]
    hub.repositories["madebyollin/taesdxl"] = files
    with pytest.raises(PullFailed, match=r"no config\.json .* it has diffusion"):
        pull(wanted, yes)


def test_faces_of_a_pack(hub: FakeHub, wanted: Pull, companion: Path, tmp_path: Path) -> None:
    """A pack on disk, under whatever file names, gives detector and recognizer, and is shown as non-commercial."""
    pack = tmp_path / "pack"
    pack.mkdir()
    with pytest.raises(MissingBundle, match="no detection and no recognition"):
        pull(replace(wanted, pack=pack), yes)
    shutil.copy(companion / "faces" / "detection.onnx", pack / "det_10g.onnx")
    shutil.copy(companion / "second_recognizer" / "recognition.onnx", pack / "w600k_r50.onnx")
    shown: list[Terms] = []
    folder = pull(replace(wanted, pack=pack), lambda terms: not shown.extend(terms))  # type: ignore[func-returns-value]
    assert shown[-1].non_commercial
    assert load_backbone(folder).recognizer.embedding_size == 16


def test_names_that_are_none() -> None:
    """A bundle or a ControlNet that cannot be meant is refused at once."""
    with pytest.raises(InvalidOption, match="wanted one of sdxl"):
        recipe_named("sd3")
    with pytest.raises(InvalidOption, match="OWNER/NAME"):
        with_controlnet(SDXL, "alone")


def test_command(hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command shows the licences; without a terminal they are accepted by the flag alone."""
    arguments = ["bundle", "pull", "sdxl", "--into", str(tmp_path / "sdxl"), "--endpoint", hub.url]
    with pytest.raises(SystemExit):
        main(arguments)
    captured = capsys.readouterr()
    assert "RAIL++-M" in captured.out
    assert "--accept-licences accepts them" in captured.err
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--accept-licences"])
    assert not ended.value.code
    assert (tmp_path / "sdxl.lock.json").is_file()
    assert load_backbone(tmp_path / "sdxl").recognizer.embedding_size == 128
