"""LPIPS and the field's no-reference metrics, where pyiqa is installed with its weights; else listed as missing."""

import importlib.util
from collections.abc import Callable
from typing import Any

from torch import Tensor

from core.assessment import judged
from core.backbone import Backbone

NAMES = {"lpips": False, "clipiqa": True, "maniqa": True, "musiq": True}  # name -> higher is better
REFERENCED = ("lpips",)
OWN = "quality"  # by the bundle's own assessor
Metric = Callable[[Tensor, Tensor], float]  # (result, truth), both (3, S, S) in [-1, 1]


def load_perceptual() -> tuple[dict[str, Metric], dict[str, str]]:
    """Return the metrics there are, and of the others why they are missing; none is ever stood in for."""
    if importlib.util.find_spec("pyiqa") is None:
        return {}, dict.fromkeys(NAMES, "pyiqa is not installed")
    metrics, missing = {}, {}
    for name in NAMES:
        try:
            metrics[name] = _metric(name)
        except (OSError, RuntimeError, ValueError, ImportError) as error:
            missing[name] = f"pyiqa could not load it: {error}"
    return metrics, missing


def own_quality(backbone: Backbone) -> dict[str, Metric]:
    """Return the quality that the bundle's own assessor gives, in [0, 1], where it has one.

    It is there without anybody's weights, and it is no independent judge: it chose the words that were trained with.
    """
    if backbone.quality is None:
        return {}
    return {OWN: lambda result, truth: judged(backbone, result).score}


def _metric(name: str) -> Metric:
    pyiqa: Any = importlib.import_module("pyiqa")
    network = pyiqa.create_metric(name, device="cpu")

    def measure(result: Tensor, truth: Tensor) -> float:
        pictures = [((x + 1) / 2).clamp(0, 1)[None] for x in (result, truth)]
        return float(network(*pictures) if name in REFERENCED else network(pictures[0]))

    return measure
