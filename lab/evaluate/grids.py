"""Contact sheets: the cases that gained most and least, every row beside the truth. Real people: never committed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lab.evaluate.measuring import Measurement
from lab.evaluate.run import MeasuredTable

CASES = 4  # of the best, and as many of the worst
_TILE, _GAP, _CAPTION, _FONT = 144, 6, 34, 13  # pixels
_PAPER, _INK = (250, 250, 248), (40, 40, 40)


@dataclass(frozen=True)
class Case:
    """One input with what every row made of it."""

    person: str
    photo: str
    input: str
    gain: float  # ID of the row in question, less the baseline's
    rows: tuple[Measurement, ...]


def cases(done: MeasuredTable, row: str, key: str) -> list[Case]:
    """Return every input of a table, the largest gain of `row` over the baseline first."""
    by_input: dict[tuple[str, str], list[Measurement]] = {}
    for m in done.measurements:
        by_input.setdefault((m.photo, m.input), []).append(m)
    found = []
    for (photo, name), rows in by_input.items():
        values = {m.row: m.values[key] for m in rows}
        gain = values[row] - values[done.table.baseline or row]
        found.append(Case(rows[0].person, photo, name, gain, tuple(rows)))
    return sorted(found, key=lambda case: -case.gain)


def best_and_worst(found: Sequence[Case]) -> list[Case]:
    """Return the first and the last few cases, none twice."""
    if len(found) <= 2 * CASES:
        return list(found)
    return [*found[:CASES], *found[-CASES:]]


def sheet(chosen: Sequence[Case], truths: dict[str, np.ndarray], key: str) -> np.ndarray:
    """Draw cases as one picture (H, W, 3): a line each, the truth first, ID and PSNR under every other face."""
    lines = []
    for case in chosen:
        tiles = [(truths[case.photo], f"{case.photo}\n{case.input}, gain {case.gain:+.2f}")]
        for m in case.rows:
            pixels = np.asarray(Image.open(m.file).convert("RGB"))
            tiles.append((pixels, f"{_short(m.row)}\n{m.values[key]:.2f}, {m.values['psnr']:.1f} dB"))
        lines.append(tiles)
    return captioned(lines)


def captioned(lines: Sequence[Sequence[tuple[np.ndarray, str]]]) -> np.ndarray:
    """Draw lines of pictures (S, S, 3), each with its caption of two lines at most, as one picture (H, W, 3)."""
    columns = max(len(tiles) for tiles in lines)
    size = columns * (_TILE + _GAP) + _GAP, len(lines) * (_TILE + _CAPTION + _GAP) + _GAP
    canvas = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT)
    for line, tiles in enumerate(lines):
        for column, (pixels, caption) in enumerate(tiles):
            left, top = _GAP + column * (_TILE + _GAP), _GAP + line * (_TILE + _CAPTION + _GAP)
            canvas.paste(Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.LANCZOS), (left, top))
            draw.multiline_text((left, top + _TILE + 2), caption, _INK, font, spacing=1)
    return np.asarray(canvas)


def _short(text: str) -> str:
    return text if len(text) <= 22 else text[:20] + "..."
