"""Tests of the benchmark's mixed batch: it restores the same eight faces as one by one does."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from core.arcface import to_arcface_frame
from core.backbone import Backbone, load_backbone
from core.options import RestoreOptions
from core.sampling import sample
from lab.bench.mixed import PEOPLE, faces_of_people, mixed_batch
from lab.pretrain.bundle import write_tiny_bundle
from tests.core.conftest import made_adapter

MINI = Path(__file__).parents[2] / "bundles" / "mini"


@torch.no_grad()
def least_alike(backbone: Backbone, options: RestoreOptions) -> float:
    """Return the least cosine of the embeddings of one face restored with the other people, and alone."""
    lq, people = faces_of_people(backbone, made_adapter(backbone, seed=1))
    together = sample(backbone, lq, people, options)
    alone = torch.cat([sample(backbone, lq[i : i + 1], [person], options) for i, person in enumerate(people)])
    first, second = (backbone.recognizer(to_arcface_frame(x)) for x in (together, alone))
    assert len(first) == PEOPLE
    return float(cosine_similarity(first, second).min())


def test_eight_people_at_once(tmp_path: Path) -> None:
    """A row of eight is measured, and each of its faces is the one that comes out alone."""
    backbone = load_backbone(write_tiny_bundle(tmp_path / "tiny"))
    options = RestoreOptions(steps=2)
    row = mixed_batch(backbone, made_adapter(backbone, seed=1), options, repeats=1)
    assert row.ours.wall > 0
    assert row.plain is not None
    assert least_alike(backbone, options) >= 0.999


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_eight_people_on_mini() -> None:
    """On `mini` too, guided as the product guides."""
    assert least_alike(load_backbone(MINI), RestoreOptions.preset("fast")) >= 0.999
