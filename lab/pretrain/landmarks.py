"""The landmark network: five points of one face, read again in its aligned crop, as insightface's landmark packs do.

The detector's own landmarks are off by a tenth of the eye distance on bad photos; a network that sees one upright face
and nothing else is better at it, and small.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from insightface.utils.face_align import trans_points, transform
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

from core.alignment import crop, ffhq_template, placed, similarity
from core.faces import LANDMARK_BOX, LANDMARK_CROP, FaceDetector, mirrored
from lab.pretrain.detector import detection_figures
from lab.pretrain.onnx_graph import GraphWriter, Residual, conv_norm
from lab.pretrain.scenes import Scene, relit, spoilt

SIDE = 192  # px: by this side insightface knows a landmark network
_SPOILT = 0.6
_SHIFT, _TURN, _SCALE = 0.07, 6.0, 0.08  # of the first alignment: eye distances, degrees, log; standard deviations
_PORTRAITS = 0.35  # share of the faces
_SMALLEST = 12  # px between the eyes: labels of smaller faces are coarser than what is to be learned


class LandmarkNet(nn.Module):
    """x (B, 3, 192, 192), (RGB - 127.5) / 128 -> (B, 10): five points, -1 and 1 at the picture's edges."""

    def __init__(self, widths: tuple[int, ...] = (24, 32, 64, 96)) -> None:
        super().__init__()
        self.stem = conv_norm(3, widths[0], 2)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.stages = nn.Sequential(*(nn.Sequential(conv_norm(a, b, 2), Residual(b)) for a, b in pairs))
        self.narrow = conv_norm(widths[-1], 32)
        self.hidden = nn.Linear(32 * 6 * 6, 128)
        self.points = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(self.stages(self.stem(functional.avg_pool2d(x, 2))))
        return self.points(functional.relu(self.hidden(x.flatten(1))))


class LandmarkStage:
    """Trains a LandmarkNet on single faces whose first alignment is off, as a detector's is."""

    name = "landmarks"

    def __init__(
        self, scenes: list[Scene], portraits: list[Scene], held_out: list[Scene], network: LandmarkNet, faces: Path
    ) -> None:
        self._groups = (_faces_of(scenes), _faces_of(portraits))
        self._held_out, self._network, self._faces = held_out, network, faces

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the network."""
        return {"landmarks": self._network}

    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> tuple[Tensor, Tensor]:
        """Return pictures (B, 3, 192, 192) and their points (B, 5, 2), in the network's units."""
        del progress
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        drawn = [self._example(rng) for _ in range(batch_size)]
        pixels = torch.from_numpy(np.stack([picture for picture, _ in drawn])).permute(0, 3, 1, 2)
        points = torch.from_numpy(np.stack([points for _, points in drawn])).float()
        return (pixels.float() - 127.5) / 128, points / (SIDE / 2) - 1

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the mean distance of the points, in eye distances."""
        pixels, points = (part.to(next(self._network.parameters()).device) for part in batch)
        got = self._network(pixels).float().reshape(-1, 5, 2)
        eyes = (points[:, 1] - points[:, 0]).norm(dim=-1)
        away = (got - points).square().sum(-1).add(1e-8).sqrt().mean(-1) / eyes
        return away.mean(), {}

    def evaluate(self) -> dict[str, float]:
        """Return the detector's figures on held-out scenes with this network behind it."""
        with tempfile.TemporaryDirectory() as name:  # the bundle gets the network when it is done
            folder = Path(name)
            shutil.copy(self._faces / "detection.onnx", folder)
            export_landmarks(self._network, folder / "landmarks.onnx")
            return detection_figures(FaceDetector(folder), self._held_out)

    def _example(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return one face's picture (192, 192, 3) and its points (5, 2) in px of it."""
        group = self._groups[int(rng.random() < _PORTRAITS)]
        pixels, landmarks = group[int(rng.integers(len(group)))]
        matrix = similarity(landmarks, _strayed(ffhq_template(LANDMARK_CROP), rng))
        aligned, points = crop(pixels, matrix, LANDMARK_CROP), placed(matrix, landmarks)
        if rng.random() < 0.5:
            aligned, points = aligned[:, ::-1], mirrored(points)
        picture = Scene(relit(np.ascontiguousarray(aligned), rng), np.array([LANDMARK_BOX]), points[None])
        seen = spoilt(picture, rng) if rng.random() < _SPOILT else picture.pixels
        x0, y0, x1, y1 = LANDMARK_BOX
        scale = SIDE / (max(x1 - x0, y1 - y0) * 1.5)  # insightface's own way from a box to its network
        shown, moved = transform(seen, ((x0 + x1) / 2, (y0 + y1) / 2), SIDE, scale, 0)
        return shown, trans_points(points, moved)


def _faces_of(scenes: Sequence[Scene]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (pixels about the face, landmarks) of every face that is large enough, cut out so that crops are quick."""
    faces = []
    for scene in scenes:
        for landmarks in scene.landmarks:
            eyes = float(np.linalg.norm(landmarks[1] - landmarks[0]))
            if eyes < _SMALLEST:
                continue
            low = np.maximum(landmarks.min(0) - 3 * eyes, 0).astype(int)
            high = (landmarks.max(0) + 3 * eyes).astype(int)
            faces.append((scene.pixels[low[1] : high[1], low[0] : high[0]].copy(), landmarks - low))
    return faces


def _strayed(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return points (5, 2) turned, scaled and shifted a little about their middle."""
    eyes = float(np.linalg.norm(points[1] - points[0]))
    turn, scale = np.radians(rng.normal(0, _TURN)), np.exp(rng.normal(0, _SCALE))
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = points.mean(0)
    return (points - middle) @ rotation.T + middle + rng.normal(0, _SHIFT * eyes, 2)


def export_landmarks(network: LandmarkNet, path: Path) -> None:
    """Write the .onnx file that insightface takes for a landmark network of five points."""
    network.eval()
    writer = GraphWriter()
    x = writer.add("AveragePool", ["input"], kernel_shape=[2, 2], strides=[2, 2])
    x = writer.stage(writer.stage(writer.stage(x, network.stem), network.stages), network.narrow)
    x = writer.add("Relu", [writer.linear(writer.add("Flatten", [x], axis=1), network.hidden)])
    writer.linear(x, network.points, "landmarks")
    graph = helper.make_graph(
        writer.nodes,
        "landmarks",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("landmarks", onnx.TensorProto.FLOAT, [1, 10])],
        writer.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
