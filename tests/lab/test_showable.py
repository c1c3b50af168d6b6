"""Tests of the sheet of people who may be shown."""

from pathlib import Path

import numpy as np
import torch

from core.backbone import load_backbone
from core.options import RestoreOptions, TrainOptions
from lab.evaluate.showable import restorations, shown_people
from lab.pretrain.bundle import write_tiny_bundle
from lab.pretrain.data import SHOWABLE, Photos, grid_people


def photos() -> Photos:
    """Return three photos of each showable person, two of a free one, and two of one who may not be shown."""
    people = [*(name for name in SHOWABLE for _ in range(3)), "free", "free", "closed", "closed"]
    licences = [*("US Government" for _ in SHOWABLE for _ in range(3)), "CC0", "CC0", "unknown", "unknown"]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(people), 3, 256, 256), generator=generator, dtype=torch.uint8)
    entries = tuple({"synthetic": False, "licence": licence} for licence in licences)
    return Photos(pixels, tuple(people), entries)


def test_everybody_who_may_be_shown() -> None:
    """The showable people and the free one are there, in turn medium and heavy, with two different photos each."""
    shown = list(shown_people(photos()))
    assert [one.name for one in shown] == [*SHOWABLE, *grid_people(photos())]
    assert [one.severity for one in shown[:3]] == ["medium", "heavy", "medium"]
    assert all(not torch.equal(one.reference, one.truth) and not torch.equal(one.lq, one.truth) for one in shown)
    assert all(torch.equal(a.lq, b.lq) for a, b in zip(shown, shown_people(photos()), strict=True))


def test_restorations(tmp_path: Path) -> None:
    """Input, base, instant and full are four pictures of the crop's size; those that sampled differ from the input."""
    backbone = load_backbone(write_tiny_bundle(tmp_path))
    shown = next(iter(shown_people(photos())))
    made = restorations(backbone, shown, TrainOptions(steps=2), RestoreOptions(steps=2, gate=False))
    assert list(made) == ["input", "base", "instant", "full"]
    assert all(pixels.shape == (128, 128, 3) and pixels.dtype == np.uint8 for pixels in made.values())
    assert not np.array_equal(made["base"], made["input"])
