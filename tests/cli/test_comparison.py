"""Tests of the before and after picture."""

import numpy as np

from cli.comparison import Panel, close_up, comparison


def test_panels_of_a_row_share_one_height() -> None:
    """Panels of unequal shapes stand side by side, each in its own colour, at one height."""
    red = np.full((50, 100, 3), (255, 0, 0), np.uint8)
    blue = np.full((80, 40, 3), (0, 0, 255), np.uint8)
    picture = comparison([[Panel(red, "before"), Panel(blue, "after")]])
    heights = [
        int((np.abs(picture.astype(int) - colour).max(-1) < 8).any(1).sum()) for colour in (red[0, 0], blue[0, 0])
    ]
    assert heights[0] == heights[1] > 100


def test_rows_stand_one_below_the_other() -> None:
    """Two rows make a picture about twice as high as one."""
    panel = Panel(np.zeros((60, 240, 3), np.uint8), "photo")
    one, two = comparison([[panel]]), comparison([[panel], [panel]])
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > 1.8 * one.shape[0]


def test_caption_is_drawn() -> None:
    """A caption leaves ink under its panel."""
    panel = np.full((60, 240, 3), 255, np.uint8)
    assert comparison([[Panel(panel, "after")]]).min() < comparison([[Panel(panel, "")]]).min()


def test_close_up_stays_inside_the_picture() -> None:
    """A box at the edge gives a full square that lies inside the picture."""
    pixels = np.arange(100 * 80 * 3, dtype=np.uint8).reshape(100, 80, 3)
    assert close_up(pixels, (60, 80, 79, 99)).shape == (38, 38, 3)
    assert close_up(pixels, (0, 0, 79, 99)).shape == (80, 80, 3)
