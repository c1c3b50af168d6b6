"""Tests of the benchmark's plain alternative: it must do the same work, or beating it would mean nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.backbone import Backbone, load_backbone
from core.injector import inserted, lora_parameter_count
from core.options import RestoreOptions, TrainOptions
from core.predictions import LEARNER
from core.sampling import FaceCondition, sample
from core.training import _Training, train_injector
from lab.bench.__main__ import main
from lab.bench.levers import _CastAtEveryUse, _EncodedApart, _LatentsAnew, _PromptsAnew, _StemAnew, _WholeClassPass
from lab.bench.plain import PlainRestoration, PlainTraining
from lab.bench.references import random_references
from lab.pretrain.bundle import write_tiny_bundle

SHORT = TrainOptions(steps=2, batch_size=2)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A tiny bundle."""
    return load_backbone(write_tiny_bundle(tmp_path_factory.mktemp("bench") / "tiny"))


def test_plain_training_learns_the_same(backbone: Backbone) -> None:
    """The plain loop trains as many LoRA parameters as the injector, moves them, and leaves the bundle alone."""
    structure = repr(backbone.unet)
    training = PlainTraining(backbone, random_references(backbone, 2), SHORT)
    learning = [p for p in training._unet.parameters() if p.requires_grad]
    assert sum(p.numel() for p in learning) == lora_parameter_count(backbone.unet)
    before = [p.detach().clone() for p in learning]
    training.advance(0)
    training.advance(1)
    assert all(not torch.equal(p, old) for p, old in zip(learning, before, strict=True))
    assert repr(backbone.unet) == structure


def test_plain_restoration_gives_the_same(backbone: Backbone) -> None:
    """Guided at every step through the full VAE, the product's loop gives the plain one's picture, to rounding."""
    options = RestoreOptions(steps=3, guidance_window=(0.0, 1000.0))
    adapter = train_injector(backbone, random_references(backbone, 2), SHORT)
    lq = random_references(backbone, 1)[0].crop[None]
    plain = PlainRestoration(backbone, adapter)(lq, adapter.references[0], options)
    condition = FaceCondition(0, adapter.prompt, adapter, adapter.references[0], 2.0)
    ours = sample(replace(backbone, preview_decoder=None), lq, [condition], options)
    difference = (plain - ours).abs()  # near a kink of the networks rounding may bend a gradient
    assert difference.mean() < 1e-3
    assert difference.max() < 0.1


@pytest.mark.parametrize(
    "kind", [_CastAtEveryUse, _EncodedApart, _LatentsAnew, _PromptsAnew, _StemAnew, _WholeClassPass]
)
def test_levers_that_only_save_work(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, kind: type[_Training]) -> None:
    """Before the pivot and after it, a training without one of these levers has the losses that it has with all."""
    dtype = torch.bfloat16 if kind is _CastAtEveryUse else torch.float32
    monkeypatch.setattr("core.training.compute_dtype", lambda _device: dtype)
    options = replace(SHORT, control=True, strength=0.6, identity_every=1)
    references = random_references(backbone, 2)
    with_all = losses(backbone, _Training(backbone, references, options, None))
    assert losses(backbone, kind(backbone, references, options, None)) == pytest.approx(with_all, abs=1e-4)


def losses(backbone: Backbone, training: _Training) -> list[float]:
    """Return every term of the loss at every step."""
    found: list[float] = []
    with inserted(backbone.unet, {LEARNER: training.lora}) as lora:
        while not training.finished:
            found += training.advance(lora).parts.values()
    return found


@pytest.mark.prove
def test_command(backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts run on a tiny bundle and are written down: seconds, ratios, counted work, each lever."""
    out = tmp_path / "bench.json"
    arguments = ["--bundle", str(backbone.folder), "--steps", "2", "--repeats", "1", "--levers", "--json", str(out)]
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    main()
    report = json.loads(out.read_text())
    (whole,), (restored,) = report["personalize"], report["restore 1"]
    assert whole["ours"]["wall"] > 0
    assert whole["tflop"] > 0
    assert restored["plain"]["cpu"] > 0
    assert restored["peak_gib"] > 0
    assert {"all", "preview decoder", "cached latents"} <= set(report["training levers"])
    assert report["best_tflops"]["restore"] > 0


def test_no_time_left(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Once its minutes are over it begins nothing more, and says so."""
    monkeypatch.setattr("sys.argv", ["bench", "--bundle", str(backbone.folder), "--minutes", "0"])
    main()
    assert "personalize: not run, 0 minutes are over" in capsys.readouterr().out
