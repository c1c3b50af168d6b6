"""A backbone in torch's own memory order, for comparison."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch

from core.backbone import Backbone


def contiguous(backbone: Backbone) -> Backbone:
    """Return the backbone with copies of its preview decoder and recognizer that are not channels-last."""
    return replace(backbone, preview_decoder=_copied(backbone.preview_decoder), recognizer=_copied(backbone.recognizer))


def _copied(network: Any) -> Any:
    return None if network is None else deepcopy(network).to(memory_format=torch.contiguous_format)
