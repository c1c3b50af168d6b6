"""Tests of free samples: seeds repeat, words are told apart where they differ, and a copy is found out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.backbone import Backbone, load_backbone
from core.errors import InvalidOption
from lab.evaluate.__main__ import copies_figures, words_figures
from lab.evaluate.samples import free_samples, neighbours, told_apart
from lab.pretrain.bundle import write_tiny_bundle
from lab.pretrain.data import Photos


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A tiny bundle."""
    return load_backbone(write_tiny_bundle(tmp_path_factory.mktemp("samples") / "tiny"))


def _photos(backbone: Backbone, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(small, size=(backbone.resolution,) * 2, mode="bilinear")


def test_samples_repeat_and_differ(backbone: Backbone) -> None:
    """A seed gives one face, whatever else is sampled beside it; another word gives another face."""
    two = free_samples(backbone, ["sharp"], [1, 2], steps=2)
    assert torch.allclose(free_samples(backbone, ["sharp"], [2], steps=2)[0], two[1], atol=1e-4)
    assert not torch.allclose(two[0], two[1], atol=1e-2)
    assert not torch.equal(free_samples(backbone, ["blurry"], [1], steps=2)[0], two[0])


def test_told_apart(backbone: Backbone) -> None:
    """Equal sets are told apart at chance; a bundle without assessor is refused."""
    faces = _photos(backbone, 4, seed=1)
    assert told_apart(backbone, faces, faces) == pytest.approx(0.5)
    with pytest.raises(InvalidOption, match="no quality assessor"):
        told_apart(replace(backbone, quality=None), faces, faces)


def test_copy_is_found_out(backbone: Backbone) -> None:
    """A sample that is a training photo has it as its nearest, wholly alike and at no distance."""
    training = _photos(backbone, 5, seed=2)
    (copy, other) = neighbours(backbone, torch.stack([training[3], _photos(backbone, 1, seed=3)[0]]), training)
    assert (copy.index, copy.pixel_distance) == (3, 0.0)
    assert copy.similarity == pytest.approx(1.0, abs=1e-5)
    assert other.pixel_distance > 0.05


def test_figures_and_sheets(backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are those that are published, and the sheets lie beside them."""
    monkeypatch.setattr("lab.evaluate.__main__.free_samples", lambda b, w, s: free_samples(b, w, list(s), steps=1))
    pixels = (torch.rand(3, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 255).byte()
    photos = Photos(pixels, ("a", "b", "c"), ({}, {}, {}))
    figures = words_figures(backbone, 2, tmp_path) | copies_figures(
        backbone, 2, photos, photos.where([True] * 3), tmp_path
    )
    assert figures["strangers_similarity_max"] == pytest.approx(1.0, abs=1e-4)
    assert 0 <= figures["sharp_blurry_auc"] <= 1
    assert {path.name for path in tmp_path.iterdir()} == {"words.png", "nearest.png"}
