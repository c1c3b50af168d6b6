"""Where each recognizer's cosines lie, for strangers and for one person: measured on the tuning people."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.arcface import IResNet, load_recognizer
from lab.pretrain.recognizer import embedded, pair_cosines


def calibration(bundle: Path, pixels: Tensor, people: list[str]) -> dict[str, object]:
    """Return the median cosines (strangers, one person) of both recognizers, and what good photos of one person give.

    pixels (N, 3, 112, 112) uint8 in ArcFace's frame, and the name of the person in each.
    """
    first = _medians(load_recognizer(bundle / "faces" / "recognition.onnx"), pixels, people)
    measured: dict[str, object] = {"first": list(first), "target_cosine": first[1]}
    second = bundle / "second_recognizer" / "recognition.onnx"
    if second.is_file():
        measured["second"] = list(_medians(load_recognizer(second), pixels, people))
    return measured


@torch.no_grad()
def _medians(recognizer: IResNet, pixels: Tensor, people: list[str]) -> tuple[float, float]:
    """Return the median cosine of two people's photos and of one person's."""
    one, strangers = (np.median(cosines) for cosines in pair_cosines(embedded(recognizer.eval(), pixels), people))
    return round(float(strangers), 4), round(float(one), 4)
