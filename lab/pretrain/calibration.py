"""Where each recognizer's cosines lie, for strangers and for one person: measured on the tuning people."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.arcface import IResNet, load_recognizer


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
    recognizer = recognizer.eval()
    embeddings = torch.cat([recognizer(part.float() / 127.5 - 1) for part in pixels.split(32)])
    names = np.array(people)
    upper = np.triu_indices(len(people), 1)
    cosines = (embeddings @ embeddings.T).numpy()[upper]
    same = (names[:, None] == names[None])[upper]
    strangers, one = np.median(cosines[~same]), np.median(cosines[same])
    return round(float(strangers), 4), round(float(one), 4)
