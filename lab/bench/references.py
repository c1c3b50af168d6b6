"""References of nobody."""

import torch

from core.backbone import Backbone
from core.quality import Quality
from core.references import Reference


def random_references(backbone: Backbone, count: int) -> list[Reference]:
    """Return crops of noise: speed does not depend on who is in them."""
    generator = torch.Generator().manual_seed(0)
    side = backbone.resolution
    return [
        Reference(torch.rand(3, side, side, generator=generator) * 2 - 1, Quality(0.9, ("sharp",)))
        for _ in range(count)
    ]
