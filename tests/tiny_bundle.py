"""The tiny random bundle with everything a whole photo needs: a detector of marks, and a second recognizer."""

from pathlib import Path

import numpy as np
import torch

from core.arcface import IResNet, export_onnx
from core.images import Photo
from lab.pretrain.bundle import seal, write_tiny_bundle
from tests.marked_faces import marked, write_detector


def write_whole_bundle(folder: Path, seed: int = 0) -> Path:
    """Write the bundle; every network is random and small, every file real."""
    write_tiny_bundle(folder, seed)
    write_detector(folder / "faces" / "detection.onnx")
    torch.manual_seed(seed + 100)
    second = IResNet(layers=(1, 1, 1, 1), widths=(8, 8, 8, 8), embedding_size=16)
    (folder / "second_recognizer").mkdir(exist_ok=True)
    export_onnx(second.eval(), folder / "second_recognizer" / "recognition.onnx")
    seal(folder, {"name": "tiny", "resolution": 128, "licences": {}})
    return folder


def photo_of(*places: tuple[int, int], size: tuple[int, int] = (480, 320), seed: int = 0) -> Photo:
    """Return a photo (width, height) of smooth colours with a face marked at each place (x, y)."""
    width, height = size
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 8, 12)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    noise = rng.normal(0, 4, (height, width, 3)).astype(np.float32)
    pixels = np.clip(smooth[0].permute(1, 2, 0).numpy() + noise, 0, 255).astype(np.uint8)
    # Nothing is quite as green as a mark.
    pixels[..., 1] = np.minimum(pixels[..., 1], 160)
    for x, y in places:
        pixels = marked(pixels, x, y)
    return Photo(pixels)
