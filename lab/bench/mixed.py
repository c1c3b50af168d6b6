"""Restorations of several people as one batch, each face with its own adapter, beside one after the other."""

from dataclasses import replace

import torch
from torch import Tensor

from core.backbone import Backbone
from core.injector import Adapter
from core.options import RestoreOptions
from core.sampling import FaceCondition, sample
from lab.bench.clock import interleaved
from lab.bench.counting import flops
from lab.bench.references import random_references
from lab.bench.workloads import BEYOND, Row

PEOPLE = 8


def mixed_batch(backbone: Backbone, adapter: Adapter, options: RestoreOptions, repeats: int) -> Row:
    """Time one batch of eight people against the same eight one by one, in turns."""
    lq, people = faces_of_people(backbone, adapter)

    def together() -> None:
        sample(backbone, lq, people, options)

    def one_by_one() -> None:
        for i, person in enumerate(people):
            sample(backbone, lq[i : i + 1], [person], options)

    took = interleaved({"mixed": together, "one by one": one_by_one}, repeats)
    what = f"{PEOPLE} people in one batch (plain: one by one)"
    return Row(what, took["mixed"], took["one by one"], flops(together) / 1e12)


def faces_of_people(backbone: Backbone, adapter: Adapter) -> tuple[Tensor, list[FaceCondition]]:
    """Return faces of noise (8, 3, S, S) and their people: an adapter's weights, moved along by a row for each."""
    lq = torch.stack([reference.crop for reference in random_references(backbone, PEOPLE)])
    others = [
        replace(adapter, lora={name: weight.roll(n, dims=0) for name, weight in adapter.lora.items()})
        for n in range(PEOPLE)
    ]
    return lq, [FaceCondition(n, one.prompt, one, one.references[0], BEYOND) for n, one in enumerate(others)]
