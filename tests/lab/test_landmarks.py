"""Tests of the landmark network: its .onnx file as insightface reads it, and what it is trained on."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from core.alignment import ffhq_template
from core.faces import LANDMARK_CROP, FaceDetector
from lab.pretrain.landmarks import SIDE, LandmarkNet, LandmarkStage, export_landmarks
from lab.pretrain.scenes import Scene
from tests.marked_faces import write_detector
from tests.tiny_bundle import photo_of


@pytest.fixture(scope="module")
def network() -> LandmarkNet:
    """An untrained network whose norms have seen something."""
    torch.manual_seed(0)
    network = LandmarkNet()
    for _ in range(3):
        network(torch.randn(8, 3, SIDE, SIDE))
    return network.eval()


def test_export_agrees(network: LandmarkNet, tmp_path: Path) -> None:
    """The .onnx file puts out what the network does."""
    export_landmarks(network, tmp_path / "landmarks.onnx")
    x = torch.randn(1, 3, SIDE, SIDE)
    (got,) = onnxruntime.InferenceSession(tmp_path / "landmarks.onnx").run(None, {"input": x.numpy()})
    np.testing.assert_allclose(got, network(x).detach().numpy(), atol=1e-4)


def test_insightface_reads_with_it(network: LandmarkNet, tmp_path: Path) -> None:
    """In a pack, the network's reading replaces the detector's landmarks; boxes stay."""
    write_detector(tmp_path / "detection.onnx")
    photo = photo_of((112, 176))
    (alone,) = FaceDetector(tmp_path).detect(photo.pixels)
    export_landmarks(network, tmp_path / "landmarks.onnx")
    (behind,) = FaceDetector(tmp_path).detect(photo.pixels)
    assert behind.box == alone.box
    assert np.abs(behind.landmarks - alone.landmarks).max() > 0.1


def test_examples_show_their_points(tmp_path: Path) -> None:
    """Where the labels say, the picture has the marks: bright dots at the five points of a face are found there."""
    side, points = 256, ffhq_template(256)
    pixels = np.zeros((side, side, 3), np.uint8)
    for x, y in points.round().astype(int):
        pixels[y - 5 : y + 5, x - 5 : x + 5] = 255
    stage = LandmarkStage(
        [Scene(pixels, np.array([[60.0, 50.0, 190.0, 230.0]]), points[None])], [], [], LandmarkNet(), tmp_path
    )
    stage._groups = (stage._groups[0], stage._groups[0])
    x, labels = stage.draw(24, torch.Generator().manual_seed(0), 0.0)
    at = ((labels + 1) * SIDE / 2).round().long()
    inside = ((at >= 0) & (at < SIDE)).all(-1)
    at = at.clamp(0, SIDE - 1)
    bright = x.mean(1)[torch.arange(24)[:, None], at[..., 1], at[..., 0]]
    around = x.mean((1, 2, 3))[:, None].expand(-1, 5)
    assert inside.float().mean() > 0.95
    assert ((bright > around + 0.1) | ~inside).float().mean() > 0.95


def test_learns(tmp_path: Path) -> None:
    """A few steps on one face bring its points closer."""
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (LANDMARK_CROP, LANDMARK_CROP, 3)).astype(np.uint8)
    scene = Scene(pixels, np.array([[60.0, 50.0, 190.0, 230.0]]), ffhq_template(LANDMARK_CROP)[None])
    network = LandmarkNet()
    stage = LandmarkStage([scene], [scene], [], network, tmp_path)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(12):
        loss, _ = stage.loss(stage.draw(8, generator, 0.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
