"""The face detector's training: composed pictures in, insightface's own reading of the network as the judge."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from core.faces import Face, FaceDetector, overlap
from lab.pretrain.scenes import Composer, Scene
from lab.pretrain.scrfd import Scrfd, anchor_places, anchor_values, detection_loss, export_scrfd

_FRONTAL = 0.3  # nose offset from between the eyes, in eye distances, up to which a face counts as frontal
_FOUND = 0.4  # intersection over union at which a detection is that face


class DetectorStage:
    """Trains an Scrfd on pictures of one side."""

    name = "detector"

    def __init__(
        self, training: list[Scene], portraits: list[Scene], held_out: list[Scene], network: Scrfd, side: int = 192
    ) -> None:
        self._composer = Composer(training, portraits, side)
        self._held_out, self._network = held_out, network
        self._places = anchor_places(side, side)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the network."""
        return {"detector": self._network}

    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> list[Scene]:
        """Return freshly composed pictures."""
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        return [self._composer.draw(rng) for _ in range(batch_size)]

    def loss(self, batch: list[Scene]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of composed pictures."""
        x = torch.from_numpy(np.stack([picture.pixels for picture in batch])).permute(0, 3, 1, 2)
        device = next(self._network.parameters()).device
        values = anchor_values(self._network((x.to(device).float() - 127.5) / 128)).float()
        faces = [
            (torch.from_numpy(p.boxes).float().to(device), torch.from_numpy(p.landmarks).float().to(device))
            for p in batch
        ]
        return detection_loss(values, self._places.to(device), faces)

    def evaluate(self) -> dict[str, float]:
        """Return the figures on held-out scenes, read by insightface as the product reads them."""
        with tempfile.TemporaryDirectory() as folder:
            export_scrfd(self._network, Path(folder) / "detection.onnx")
            return detection_figures(FaceDetector(Path(folder)), self._held_out)


def detection_figures(detector: FaceDetector, scenes: Sequence[Scene]) -> dict[str, float]:
    """Return recall of all and of frontal faces, landmark error in eye distances, and finds that no label confirms."""
    found, frontal_found, errors, extra = [], [], [], 0
    for scene in scenes:
        detections = detector.detect(scene.pixels)
        faces = [Face(tuple(box), points, 1.0) for box, points in zip(scene.boxes, scene.landmarks, strict=True)]
        for face in faces:
            best = max(detections, key=lambda d: overlap(face, d), default=None)
            hit = best is not None and overlap(face, best) >= _FOUND
            found.append(hit)
            if not is_frontal(face.landmarks):
                continue
            frontal_found.append(hit)
            if best is not None and hit:
                errors.append(np.linalg.norm(best.landmarks - face.landmarks, axis=1).mean() / face.eye_distance)
        extra += sum(all(overlap(face, d) < _FOUND for face in faces) for d in detections)
    return {
        "recall": float(np.mean(found)),
        "frontal_recall": float(np.mean(frontal_found)),
        "landmark_error": float(np.mean(errors)) if errors else float("nan"),
        "unlabelled_per_photo": extra / len(scenes),
    }


def is_frontal(landmarks: np.ndarray) -> bool:
    """Say whether the nose lies between the eyes, as seen along their line."""
    eyes = landmarks[1] - landmarks[0]
    offset = (landmarks[2] - landmarks[:2].mean(0)) @ eyes / (eyes @ eyes)
    return bool(abs(offset) <= _FRONTAL)
