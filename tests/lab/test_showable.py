"""Tests of the sheet of people who may be shown."""

from pathlib import Path

import numpy as np
import torch

from core.backbone import load_backbone
from core.options import RestoreOptions, TrainOptions
from lab.evaluate.showable import restorations, shown_people
from lab.pretrain.bundle import write_tiny_bundle
from lab.pretrain.data import Photos

PORTRAITS = Path("cli/demo_photos")


def photos() -> Photos:
    """Return two photos of a person who may be shown freely, and two of one who may not."""
    people = ("free", "free", "closed", "closed")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(people), 3, 256, 256), generator=generator, dtype=torch.uint8)
    licences = ("CC0", "CC0", "unknown", "unknown")
    return Photos(pixels, people, tuple({"synthetic": False, "licence": licence} for licence in licences))


def test_everybody_who_may_be_shown() -> None:
    """The six of the portraits and the free one are there, in turn medium and heavy, with two photos each."""
    shown = list(shown_people(photos(), PORTRAITS))
    assert len(shown) == 7
    assert [shown[0].name, shown[-1].name] == ["ben_ray_lujan", "free"]
    assert [one.severity for one in shown[:3]] == ["medium", "heavy", "medium"]
    assert all(not torch.equal(one.reference, one.truth) and not torch.equal(one.lq, one.truth) for one in shown)
    assert all(torch.equal(a.lq, b.lq) for a, b in zip(shown, shown_people(photos(), PORTRAITS), strict=True))


def test_restorations(tmp_path: Path) -> None:
    """Input, base, instant and full are four pictures of the crop's size; those that sampled differ from the input."""
    backbone = load_backbone(write_tiny_bundle(tmp_path))
    shown = next(iter(shown_people(photos(), PORTRAITS)))
    made = restorations(backbone, shown, TrainOptions(steps=2), RestoreOptions(steps=2, gate=False))
    assert list(made) == ["input", "base", "instant", "full"]
    assert all(pixels.shape == (128, 128, 3) and pixels.dtype == np.uint8 for pixels in made.values())
    assert not np.array_equal(made["base"], made["input"])
