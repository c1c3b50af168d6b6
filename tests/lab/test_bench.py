"""Tests of the benchmark's plain alternative: it must do the same work, or beating it would mean nothing."""

from dataclasses import replace

import pytest
import torch

from core.backbone import Backbone, load_backbone
from core.injector import lora_parameter_count
from core.options import RestoreOptions, TrainOptions
from core.sampling import FaceCondition, sample
from lab.bench.__main__ import random_references
from lab.bench.plain import _PlainTraining, plain_restoration, plain_training_seconds
from lab.pretrain.bundle import write_tiny_bundle

SHORT = TrainOptions(steps=2, batch_size=2)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A tiny bundle."""
    return load_backbone(write_tiny_bundle(tmp_path_factory.mktemp("bench") / "tiny"))


def test_plain_training_learns_the_same(backbone: Backbone) -> None:
    """The plain loop trains as many LoRA parameters as the injector, moves them, and leaves the bundle alone."""
    structure = repr(backbone.unet)
    training = _PlainTraining(backbone, random_references(backbone, 2), SHORT)
    learning = [p for p in training._unet.parameters() if p.requires_grad]
    assert sum(p.numel() for p in learning) == lora_parameter_count(backbone.unet)
    before = [p.detach().clone() for p in learning]
    training.advance(0)
    training.advance(1)
    assert all(not torch.equal(p, old) for p, old in zip(learning, before, strict=True))
    assert repr(backbone.unet) == structure


def test_plain_training_is_timed(backbone: Backbone) -> None:
    """It takes some time."""
    assert plain_training_seconds(backbone, random_references(backbone, 1), SHORT) > 0


def test_plain_restoration_differs_in_guidance_only(backbone: Backbone) -> None:
    """Every step guided through the full VAE; without guidance it is the same picture to the bit."""
    options = RestoreOptions(steps=3, guidance=False)
    lq = random_references(backbone, 1)[0].crop[None]
    plain, plain_options = plain_restoration(backbone, options)
    assert plain.preview_decoder is None
    assert torch.equal(
        sample(plain, lq, [FaceCondition(0)], plain_options), sample(backbone, lq, [FaceCondition(0)], options)
    )
    assert plain_restoration(backbone, replace(options, guidance_every=3))[1].guidance_every == 1
