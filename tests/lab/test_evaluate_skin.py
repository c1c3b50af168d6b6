"""Tests of skin tone: an angle of the cheeks' colour, and people in thirds of it."""

import pytest
import torch

from lab.evaluate.skin import THIRDS, thirds, tone


def _face(red: int, green: int, blue: int) -> torch.Tensor:
    colour = torch.tensor([red, green, blue]).float() / 127.5 - 1
    return colour[:, None, None].expand(3, 128, 128)


def test_darker_skin_has_a_smaller_angle() -> None:
    """The angle falls from very light to very dark skin, over the range the field states (about 60 to -40 degrees)."""
    angles = [tone(_face(*colour)[None]) for colour in ((241, 220, 205), (198, 150, 120), (92, 60, 44))]
    assert angles == sorted(angles, reverse=True)
    assert angles[0] > 50
    assert angles[-1] < -25


def test_only_the_cheeks_count() -> None:
    """Hair, background and lips have no say."""
    face = _face(198, 150, 120).clone()
    wanted = tone(face[None])
    face[:, :60] = -1.0
    face[:, 90:] = 1.0
    face[:, :, :38] = 1.0
    face[:, :, 90:] = -1.0
    assert tone(face[None]) == pytest.approx(wanted)


def test_one_dark_photo_changes_little() -> None:
    """A person's tone is the median over their photos."""
    light, dark = _face(241, 220, 205), _face(20, 15, 10)
    assert tone(torch.stack([light, light, dark])) == pytest.approx(tone(light[None]))


def test_thirds() -> None:
    """Each third has as many people, darkest first; of fewer than six people there are none."""
    tones = {f"p{i}": float(angle) for i, angle in enumerate((50, -10, 30, 5, 60, 20))}
    assert thirds(tones) == {
        "p1": THIRDS[0], "p3": THIRDS[0], "p5": THIRDS[1], "p2": THIRDS[1], "p0": THIRDS[2], "p4": THIRDS[2]
    }  # fmt: skip
    assert thirds({"a": 1.0, "b": 2.0}) == {}
