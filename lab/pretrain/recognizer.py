"""The guidance recognizer: an IResNet distilled from a stronger teacher, which therefore may judge no picture.

The teacher's embeddings are computed once; the student learns to give the same ones, and the same similarities within
a batch, from pictures that are turned, relit, blurred and compressed: it will look at bad photos and half-made ones.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from core.arcface import IResNet
from core.degradation import degrade, draw
from lab.judges.auc import area_under_curve, photo_pairs
from lab.pretrain.data import CropOptions, load_photos, random_crops, split

Teacher = Callable[[Tensor], Tensor]  # (B, 3, 112, 112) in [-1, 1] -> (B, D)

# The FFHQ frame of 256 px -> ArcFace's of 112 px: scale and translation.
_SCALE, _LEFT, _TOP = 0.585, -19.1, -18.0
_BATCH_SIMILARITY_WEIGHT = 5.0
_DEGRADED_SHARE = 0.3
_CROPS = CropOptions(side=112, rotate=4.0, scale=0.04, shift=0.015, perspective=0.03, light=0.15, colour=0.05)


@dataclass(frozen=True)
class TaughtFaces:
    """Crops (N, 3, 112, 112) in uint8 with the centred, unit embeddings (N, D) that the teacher gives them."""

    pixels: Tensor
    embeddings: Tensor


def load_taught_faces(root: Path, teacher: Teacher, cache: Path) -> TaughtFaces:
    """Read `recognition/` and the training part of `photos/` and ask the teacher once; the answers are cached."""
    pixels = torch.cat([_recognition_crops(root), _photo_crops(root)])
    key = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16]
    path = cache / f"teacher-{key}.npy"
    if not path.exists():
        parts = [teacher(part.float() / 127.5 - 1) for part in pixels.split(32)]
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, torch.cat(parts).numpy())
    return TaughtFaces(pixels, centred(torch.from_numpy(np.load(path))))


def centred(embeddings: Tensor) -> Tensor:
    """Return embeddings less their mean, at unit length: two strangers are then about 0 alike."""
    return functional.normalize(embeddings - embeddings.mean(0), dim=-1)


class RecognizerStage:
    """Distils the teacher into an IResNet."""

    name = "recognizer"

    def __init__(self, faces: TaughtFaces, tuning: tuple[Tensor, list[str]], recognizer: IResNet) -> None:
        """`tuning`: crops (N, 3, 112, 112) in uint8 of people who are in no training set, and their names."""
        self._faces, self._tuning, self._recognizer = faces, tuning, recognizer

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the recognizer."""
        return {"recognizer": self._recognizer}

    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> tuple[Tensor, Tensor]:
        """Return crops, some of them spoilt, more and more often, and the teacher's embeddings."""
        index = torch.randint(len(self._faces.pixels), (batch_size,), generator=generator)
        x = random_crops(self._faces.pixels[index], _CROPS, generator)
        for i in range(int(batch_size * _DEGRADED_SHARE * min(1.0, 2 * progress))):
            x[i] = degrade(x[i], draw(generator, "light"), generator)
        return x, self._faces.embeddings[index].to(next(self._recognizer.parameters()).device)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return 1 - cosine to the teacher's embedding, and the error of the similarities within the batch."""
        x, wanted = batch
        got = self._recognizer(x.to(wanted.device)).float()
        cosine = 1 - (got * wanted).sum(-1).mean()
        similarity = functional.mse_loss(got @ got.T, wanted @ wanted.T)
        return cosine + _BATCH_SIMILARITY_WEIGHT * similarity, {"cosine": cosine.item()}

    def evaluate(self) -> dict[str, float]:
        """Return the verification AUC over all pairs of the tuning people's photos."""
        pixels, people = self._tuning
        return {"auc": area_under_curve(*pair_cosines(embedded(self._recognizer, pixels), people))}


def embedded(recognizer: IResNet, pixels: Tensor) -> Tensor:
    """Return the embeddings (N, D) of crops (N, 3, 112, 112) in uint8, a few at a time."""
    return torch.cat([recognizer(part.float() / 127.5 - 1) for part in pixels.split(32)])


def pair_cosines(embeddings: Tensor, people: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of all pairs of photos of one person, and of those of two people."""
    rows, columns, same = photo_pairs(people)
    cosines = (embeddings[rows] * embeddings[columns]).sum(-1).numpy()
    return cosines[same], cosines[~same]


def arcface_crops(pixels: Tensor) -> Tensor:
    """Turn FFHQ-frame uint8 (B, 3, 256, 256) into ArcFace-frame uint8 (B, 3, 112, 112)."""
    window = [round((edge - offset) / _SCALE) for offset in (_LEFT, _TOP) for edge in (0, 112)]
    left, right, top, bottom = window
    padded = functional.pad(pixels.float(), (32, 32, 32, 32), mode="replicate")
    x = padded[..., top + 32 : bottom + 32, left + 32 : right + 32]
    return functional.interpolate(x, size=(112, 112), mode="bicubic", antialias=True).round().clamp(0, 255).byte()


def _recognition_crops(root: Path) -> Tensor:
    files = sorted((root / "recognition").glob("*/*.jpg"))
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _photo_crops(root: Path) -> Tensor:
    training, _ = split(load_photos(root))
    return torch.cat([arcface_crops(part) for part in training.pixels.split(256)])
