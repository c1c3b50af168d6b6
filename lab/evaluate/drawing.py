"""What a face may wear and how it may be held, drawn on an aligned crop: glasses, heavy make-up, a turned head."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.nn import functional

from core.alignment import alignment, crop
from core.pixels import to_pixels, to_tensor

# (crop (3, S, S) in [-1, 1], landmarks (5, 2) in its pixels) -> the same crop, changed
Drawing = Callable[[Tensor, np.ndarray], Tensor]
TURN = 45.0  # degrees
_OVERSAMPLING = 4  # shapes are drawn larger, then made smaller: no jagged edges
_FRAME, _LENS = (25, 22, 20), (90, 95, 100)
_LIPS, _SHADOW, _LINER, _BLUSH = (165, 12, 50), (82, 50, 150), (20, 15, 20), (205, 70, 95)

# Lengths of all shapes are stated in distances of the eyes, along their line and across it.


def glasses(x: Tensor, landmarks: np.ndarray) -> Tensor:
    """Put on glasses with a thick dark frame."""
    eyes = _Eyes(landmarks, x.shape[-1])
    rims = [eyes.around(eye, 0.40, 0.30) for eye in (-0.5, 0.5)]
    bars = [eyes.placed([(-0.1, -0.05), (0.1, -0.05)])]
    bars += [eyes.placed([(side * 0.9, -0.05), (side * 1.4, -0.12)]) for side in (-1, 1)]
    x = _painted(x, eyes.filled(rims), _LENS, 0.2)
    return _painted(x, eyes.lines([*(rim + rim[:2] for rim in rims), *bars], 0.08), _FRAME, 0.95)


def made_up(x: Tensor, landmarks: np.ndarray) -> Tensor:
    """Put on heavy make-up: lipstick, eye shadow, a line along the lids, rouge."""
    eyes = _Eyes(landmarks, x.shape[-1])
    for eye in (-0.5, 0.5):
        lid = eyes.filled([eyes.around(eye, 0.30, 0.17, down=-0.13)], blur=0.03)
        opening = eyes.filled([eyes.around(eye, 0.20, 0.09)], blur=0.02)
        x = _painted(x, lid * (1 - opening), _SHADOW, 0.7)
        line = [(eye + 0.25 * s, -0.11 * (1 - s**2)) for s in np.linspace(-1, 1, 15)]
        x = _painted(x, eyes.lines([eyes.placed(line)], 0.05), _LINER, 0.8)
        x = _painted(x, eyes.filled([eyes.around(1.25 * eye, 0.24, 0.18, down=0.62)], blur=0.1), _BLUSH, 0.45)
    return _painted(x, eyes.filled([_lips(landmarks)], blur=0.02), _LIPS, 0.75)


def turned(x: Tensor, landmarks: np.ndarray, degrees: float = TURN) -> Tensor:
    """Turn the head about its upright axis, as an ellipsoid that carries the picture, and align it anew.

    What such a turn would bring into sight was never photographed: the last column that was is drawn out over it.
    """
    side, angle = x.shape[-1], np.radians(degrees)
    head = _Head(landmarks)
    v, u = np.mgrid[:side, :side] + 0.5
    across, up = head.coordinates(u, v)
    source = head.rotated(across, up, -angle)
    # Towards the head's outline the background stands still.
    inside = np.clip((1 - np.hypot(across, up)) / 0.15, 0, 1)
    u_from = u + inside * (source - across) * head.width
    grid = torch.from_numpy(np.stack([2 * u_from / side - 1, 2 * v / side - 1], -1)).float()
    moved = functional.grid_sample(x[None], grid[None], padding_mode="border", align_corners=False)[0]
    points = landmarks.copy()
    across, up = head.coordinates(*landmarks.T)
    points[:, 0] += (head.rotated(across, up, angle) - across) * head.width
    return to_tensor(crop(to_pixels(moved), alignment(points, side), side))


class _Head:
    """A head as an ellipsoid, by its five landmarks."""

    def __init__(self, landmarks: np.ndarray) -> None:
        eyes, mouth = landmarks[:2].mean(0), landmarks[3:].mean(0)
        distance = float(np.linalg.norm(landmarks[1] - landmarks[0]))
        self.centre = (eyes + mouth) / 2
        self.width, self.height = 1.3 * distance, 2.2 * distance  # half axes, pixels

    def coordinates(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels in half axes from the centre."""
        return (u - self.centre[0]) / self.width, (v - self.centre[1]) / self.height

    @staticmethod
    def rotated(across: np.ndarray, up: np.ndarray, angle: float) -> np.ndarray:
        """Return where points of the front, seen at (across, up), are seen after a turn; 90 degrees at most."""
        radius = np.sqrt(np.clip(1 - up**2, 1e-6, 1))
        longitude = np.arcsin(np.clip(across / radius, -1, 1)) + angle
        return radius * np.sin(np.clip(longitude, -np.pi / 2, np.pi / 2))


class _Eyes:
    """A drawing board whose origin is between the eyes and whose unit is their distance."""

    def __init__(self, landmarks: np.ndarray, side: int) -> None:
        self._side, self._origin = side, landmarks[:2].mean(0)
        self._along = landmarks[1] - landmarks[0]
        self._across = np.array([-self._along[1], self._along[0]])  # downwards in the picture
        self._unit = float(np.linalg.norm(self._along))

    def placed(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Return board points in pixels."""
        placed = [self._origin + a * self._along + b * self._across for a, b in points]
        return [(float(u), float(v)) for u, v in placed]

    def around(self, along: float, width: float, height: float, down: float = 0.0) -> list[tuple[float, float]]:
        """Return a rounded rectangle (a superellipse of power 3) of two half axes, in pixels."""
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        shape = [(np.sign(f) * abs(f) ** (2 / 3) for f in (np.cos(a), np.sin(a))) for a in angles]
        return self.placed([(along + width * a, down + height * b) for a, b in shape])

    def filled(self, shapes: Sequence[Sequence[tuple[float, float]]], blur: float = 0.0) -> Tensor:
        """Return how much of every pixel (S, S) lies inside the shapes, softened by `blur` distances of the eyes."""

        def draw(pen: ImageDraw.ImageDraw) -> None:
            for shape in shapes:
                pen.polygon(_larger(shape), fill=255)

        return self._covered(draw, blur)

    def lines(self, strokes: Sequence[Sequence[tuple[float, float]]], width: float) -> Tensor:
        """Return how much of every pixel (S, S) lies under strokes of a width."""
        thick = max(1, round(width * self._unit * _OVERSAMPLING))

        def draw(pen: ImageDraw.ImageDraw) -> None:
            for stroke in strokes:
                pen.line(_larger(stroke), fill=255, width=thick, joint="curve")

        return self._covered(draw, 0.0)

    def _covered(self, draw: Callable[[ImageDraw.ImageDraw], None], blur: float) -> Tensor:
        board = Image.new("L", (self._side * _OVERSAMPLING,) * 2)
        draw(ImageDraw.Draw(board))
        if blur:
            board = board.filter(ImageFilter.GaussianBlur(blur * self._unit * _OVERSAMPLING))
        small = board.resize((self._side,) * 2, Image.Resampling.BOX)
        return torch.from_numpy(np.array(small)).float() / 255


def _lips(landmarks: np.ndarray) -> list[tuple[float, float]]:
    """Return the outline of the lips between the corners of the mouth, in pixels."""
    left, right = landmarks[3:]
    middle, along = (left + right) / 2, (right - left) / 2
    across = np.array([-along[1], along[0]])
    s = np.linspace(-1, 1, 25)
    edge = [*zip(s, -0.34 * (1 - s**2), strict=True), *zip(s[::-1], 0.48 * (1 - s[::-1] ** 2), strict=True)]
    return [(float(u), float(v)) for u, v in (middle + a * along + b * across for a, b in edge)]


def _larger(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(u * _OVERSAMPLING, v * _OVERSAMPLING) for u, v in points]


def _painted(x: Tensor, covered: Tensor, colour: tuple[int, int, int], opacity: float) -> Tensor:
    """Paint x (3, S, S) in [-1, 1] where it is covered (S, S); the light and shade beneath show through."""
    shade = ((x.mean(0) + 1) / 2).clamp(0, 1)  # 0 black, 1 white
    paint = torch.tensor(colour).float()[:, None, None] / 255 * (0.5 + shade)
    alpha = opacity * covered
    return (1 - alpha) * x + alpha * (2 * paint - 1).clamp(-1, 1)
