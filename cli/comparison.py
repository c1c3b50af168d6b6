"""Before and after in one picture: rows of panels side by side, a small caption under each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _GAP, _CAPTION, _FONT = 1000, 12, 30, 18  # pixels
_PAPER, _INK = (250, 250, 248), (40, 40, 40)
_TALLEST = 560  # pixels: a row of one upright photo would not end


@dataclass(frozen=True)
class Panel:
    """One picture, (H, W, 3) uint8, and what stands under it."""

    pixels: np.ndarray
    caption: str


def comparison(rows: Sequence[Sequence[Panel]]) -> np.ndarray:
    """Return one picture of all rows, (H, W, 3) uint8; the panels of a row share one height."""
    strips = [_strip(row) for row in rows]
    canvas = Image.new("RGB", (_WIDTH, sum(strip.height for strip in strips) + _GAP), _PAPER)
    top = 0
    for strip in strips:
        canvas.paste(strip, (0, top))
        top += strip.height
    return np.asarray(canvas)


def close_up(pixels: np.ndarray, box: tuple[float, float, float, float], margin: float = 0.5) -> np.ndarray:
    """Return the square around a box (x0, y0, x1, y1), with a margin as a share of its side, inside the picture."""
    x0, y0, x1, y1 = box
    height, width = pixels.shape[:2]
    side = min(round(max(x1 - x0, y1 - y0) * (1 + 2 * margin)), height, width)
    left = min(max(round((x0 + x1 - side) / 2), 0), width - side)
    top = min(max(round((y0 + y1 - side) / 2), 0), height - side)
    return pixels[top : top + side, left : left + side]


def _strip(row: Sequence[Panel]) -> Image.Image:
    shapes = [panel.pixels.shape for panel in row]
    free = _WIDTH - _GAP * (len(row) + 1)
    height = min(_TALLEST, int(free / sum(width / height for height, width, _ in shapes)))
    sizes = [(round(height * width / tall), height) for tall, width, _ in shapes]
    left = (_WIDTH - sum(width for width, _ in sizes) - _GAP * (len(row) - 1)) // 2
    strip = Image.new("RGB", (_WIDTH, height + _GAP + _CAPTION), _PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(_FONT)
    for panel, size in zip(row, sizes, strict=True):
        strip.paste(Image.fromarray(panel.pixels).resize(size, Image.Resampling.LANCZOS), (left, _GAP))
        draw.text((left + size[0] / 2, _GAP + height + 4), panel.caption, _INK, font, anchor="ma")
        left += size[0] + _GAP
    return strip
