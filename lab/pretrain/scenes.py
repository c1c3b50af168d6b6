"""Pictures for the detector: whole photographs, and faces pasted at random into backgrounds, then spoilt.

Inputs of the product are bad photos: half of the pictures are blurred, shrunk, noisy and compressed, in proportion to
their largest face, over the ranges that the restoration is made for.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from core.alignment import ffhq_template
from core.faces import LANDMARK_BOX
from lab.pretrain.data import Photos

_HELD_OUT_SHARE = 0.1
_LARGEST = 640  # px: larger photographs are shrunk when they are read


@dataclass(frozen=True)
class Scene:
    """A photograph (H, W, 3) uint8 RGB with its faces' boxes (n, 4) and landmarks (n, 5, 2), in px."""

    pixels: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray


def load_scenes(root: Path) -> tuple[list[Scene], list[Scene]]:
    """Read `scenes.json` and return (training, held-out) photographs, split by the hash of the name."""
    parts: tuple[list[Scene], list[Scene]] = ([], [])
    for entry in json.loads((root / "scenes.json").read_text()):
        pixels = np.asarray(Image.open(root / entry["file"]).convert("RGB"))
        boxes = np.array([face["box"] for face in entry["faces"]], np.float64).reshape(-1, 4)
        landmarks = np.array([face["landmarks"] for face in entry["faces"]], np.float64).reshape(-1, 5, 2)
        parts[_is_held_out(entry["file"])].append(_shrunk(Scene(pixels, boxes, landmarks)))
    return parts


def portrait_scenes(photos: Photos) -> list[Scene]:
    """Return aligned crops as photographs of one face each."""
    box, points = np.array([LANDMARK_BOX]), ffhq_template(256)
    return [
        Scene(
            np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()),
            box,
            np.array(entry.get("landmarks", points), np.float64).reshape(1, 5, 2),
        )
        for pixels, entry in zip(photos.pixels, photos.entries, strict=True)
    ]


class Composer:
    """Draws pictures of a fixed side with known faces."""

    def __init__(self, scenes: list[Scene], portraits: list[Scene], side: int) -> None:
        self._scenes, self._portraits, self._side = scenes, portraits, side

    def draw(self, rng: np.random.Generator) -> Scene:
        """Return one picture: a single photograph, or several laid into one."""
        picture = self._single(rng) if rng.random() < 0.5 else self._group(rng)
        picture = Scene(relit(picture.pixels, rng), picture.boxes, picture.landmarks)
        if rng.random() < 0.55:
            picture = Scene(spoilt(picture, rng), picture.boxes, picture.landmarks)
        return picture

    def _single(self, rng: np.random.Generator) -> Scene:
        """Place one photograph so that its first face has a random size and place; black or plain around it."""
        scene = self._any(rng)
        size = math.exp(rng.uniform(math.log(0.14), math.log(0.95))) * self._side
        fill = np.zeros(3) if rng.random() < 0.5 else rng.integers(0, 256, 3)
        canvas = np.broadcast_to(fill.astype(np.uint8), (self._side, self._side, 3)).copy()
        return self._placed(scene, Scene(canvas, np.zeros((0, 4)), np.zeros((0, 5, 2))), size, rng)

    def _group(self, rng: np.random.Generator) -> Scene:
        """Lay two to seven photographs into a background."""
        picture = Scene(self._background(rng), np.zeros((0, 4)), np.zeros((0, 5, 2)))
        for _ in range(int(rng.integers(2, 8))):
            size = math.exp(rng.uniform(math.log(0.06), math.log(0.35))) * self._side
            picture = self._placed(self._any(rng), picture, size, rng)
        return picture

    def _any(self, rng: np.random.Generator) -> Scene:
        group = self._portraits if rng.random() < 0.35 else self._scenes
        return group[int(rng.integers(len(group)))]

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """Return noise of some smoothness, or a blown-up corner of a photograph that shows no face."""
        if rng.random() < 0.4:
            cells = int(rng.integers(2, 24))
            noise = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
            return cv2.resize(noise, (self._side, self._side), interpolation=cv2.INTER_CUBIC)
        scene = self._scenes[int(rng.integers(len(self._scenes)))]
        height, width = scene.pixels.shape[:2]
        edge = int(max(16, min(scene.boxes[:, 0].min(initial=width), width - scene.boxes[:, 2].max(initial=0))))
        left = 0 if scene.boxes[:, 0].min(initial=width) >= edge else max(0, width - edge)
        top = int(rng.integers(0, max(1, height - edge)))
        patch = scene.pixels[top : top + edge, left : left + edge]
        return cv2.resize(patch, (self._side, self._side), interpolation=cv2.INTER_LINEAR)

    def _placed(self, scene: Scene, picture: Scene, size: float, rng: np.random.Generator) -> Scene:
        """Lay a photograph over the picture, its first face `size` px tall; nothing where that would hide a face."""
        x0, y0, x1, y1 = scene.boxes[0]
        scale = size / (y1 - y0)
        angle = math.radians(rng.normal(0, 12))
        flip = rng.random() < 0.5
        rotation = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        if flip:
            rotation = rotation @ np.diag([-1.0, 1.0])
        margin = size * 0.45
        low, high = min(margin, self._side / 2), max(self._side - margin, self._side / 2)
        centre = rng.uniform(low, high, 2)
        shift = centre - rotation @ np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        matrix = np.column_stack([rotation, shift])
        boxes, landmarks = _moved(scene, matrix, flip)
        height, width = scene.pixels.shape[:2]
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) @ rotation.T + shift
        if _hides(corners, picture.boxes):
            return picture
        pixels = picture.pixels.copy()
        source = scene.pixels
        if scale < 0.5:  # an area average first, or fine texture turns into noise
            step = round(1 / scale)
            source = cv2.resize(source, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_AREA)
            matrix = matrix @ np.diag([width / source.shape[1], height / source.shape[0], 1.0])
        # insightface resizes from corner to corner; half a pixel matters on small faces
        matrix[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
        cv2.warpAffine(
            source, matrix, (self._side,) * 2, dst=pixels, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
        )
        inside = ((boxes[:, :2] + boxes[:, 2:]) / 2 > 2).all(1) & (
            (boxes[:, :2] + boxes[:, 2:]) / 2 < self._side - 2
        ).all(1)
        return Scene(
            pixels,
            np.concatenate([picture.boxes, boxes[inside]]),
            np.concatenate([picture.landmarks, landmarks[inside]]),
        )


def _moved(scene: Scene, matrix: np.ndarray, flip: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene's boxes and landmarks after a similarity; a flip swaps left and right."""
    landmarks = scene.landmarks @ matrix[:, :2].T + matrix[:, 2]
    if flip:
        landmarks = landmarks[:, [1, 0, 2, 4, 3]]
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    centres = (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (scene.boxes[:, 2:] - scene.boxes[:, :2]) / 2 * scale
    return np.concatenate([centres - half, centres + half], 1), landmarks


def _hides(corners: np.ndarray, boxes: np.ndarray) -> bool:
    """Say whether a quadrilateral's bounds touch any of the boxes."""
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    apart = (boxes[:, 2] < left) | (boxes[:, 0] > right) | (boxes[:, 3] < top) | (boxes[:, 1] > bottom)
    return not bool(apart.all())


def relit(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change gamma, gain and white balance; one picture in ten is grey."""
    curve = (np.arange(256) / 255) ** math.exp(rng.normal(0, 0.3))
    gains = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3))
    table = np.clip(curve[:, None] * gains * 255, 0, 255).astype(np.uint8)
    out = np.dstack([cv2.LUT(pixels[..., i], np.ascontiguousarray(table[:, i])) for i in range(3)])
    if rng.random() < 0.1:
        out = np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
    return np.ascontiguousarray(out)


def spoilt(picture: Scene, rng: np.random.Generator) -> np.ndarray:
    """Blur, shrink, add noise, compress and enlarge, over FaceMe's ranges for the largest face's crop."""
    side = picture.pixels.shape[0]
    largest = (picture.boxes[:, 3] - picture.boxes[:, 1]).max(initial=0.2 * side)
    scale = min(largest, 0.6 * side) * 1.43 / 512  # an aligned crop is 1.43 times as tall as its face
    sigma, factor = rng.uniform(0.2, 10) * scale, max(1.0, rng.uniform(1, 16) * scale)
    pixels = cv2.GaussianBlur(picture.pixels, (0, 0), sigma) if sigma > 0.3 else picture.pixels
    small = max(8, round(side / factor))
    shrunk = cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA).astype(np.float32)
    noisy = np.clip(shrunk + rng.normal(0, rng.uniform(0, 15), shrunk.shape), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 101))])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    way = cv2.INTER_CUBIC if rng.random() < 0.6 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(decoded), (side, side), interpolation=way)


def _shrunk(scene: Scene) -> Scene:
    height, width = scene.pixels.shape[:2]
    scale = _LARGEST / max(height, width)
    if scale >= 1:
        return scene
    size = (round(width * scale), round(height * scale))
    return Scene(
        cv2.resize(scene.pixels, size, interpolation=cv2.INTER_AREA), scene.boxes * scale, scene.landmarks * scale
    )


def _is_held_out(name: str) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < _HELD_OUT_SHARE
