"""Tests of what is drawn on faces, and of how much of it is found again."""

import numpy as np
import pytest
import torch

from core.alignment import ffhq_template
from lab.evaluate.dataset import Photo
from lab.evaluate.drawing import glasses, made_up, turned
from lab.evaluate.limits import CONDITIONS, PLAIN, drawn, transfer
from lab.evaluate.manifest import REFERENCES, make_manifest
from lab.evaluate.people import EvaluatedPerson, Trial

SIDE = 128


def _face(seed: int = 0) -> torch.Tensor:
    """Return a smooth picture of skin's colours (3, S, S)."""
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 0.4
    return torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")[0]


def _changed(drawing: object, x: torch.Tensor) -> np.ndarray:
    moved: torch.Tensor = drawing(x, ffhq_template(SIDE))  # type: ignore[operator]
    assert moved.min() >= -1
    assert moved.max() <= 1
    return (moved - x).abs().amax(0).numpy() > 0.02


def test_glasses_are_around_the_eyes() -> None:
    """The frame is dark around both eyes; below the nose nothing changes."""
    x = _face()
    changed = _changed(glasses, x)
    left, right, nose = ffhq_template(SIDE)[:3].astype(int)
    assert changed[left[1], left[0]]  # the lenses
    assert changed[right[1], right[0]]
    assert changed[: left[1] - 15].sum() == 0
    assert changed[nose[1] + 5 :].sum() == 0
    dark = glasses(x, ffhq_template(SIDE)).mean(0) < -0.6
    assert dark.sum() > 150


def test_make_up_reddens_the_lips() -> None:
    """Lips, lids and cheeks change; the forehead and the hair do not."""
    x = _face()
    changed = _changed(made_up, x)
    left, _, _, mouth_left, mouth_right = ffhq_template(SIDE)
    middle = ((mouth_left + mouth_right) / 2).astype(int)
    lips = made_up(x, ffhq_template(SIDE))[:, middle[1], middle[0]]
    assert lips[0] - lips[1] > 0.5
    assert changed[int(left[1]) - 5, int(left[0])]
    assert changed[: int(left[1]) - 18].sum() == 0


def test_turn_of_nothing_is_the_picture() -> None:
    """A turn by no angle leaves the picture but for what cutting it out again rounds; by 45 degrees it does not."""
    x = _face()
    still, away = (turned(x, ffhq_template(SIDE), degrees) for degrees in (0.0, 45.0))
    assert (still - x)[:, 8:-8, 8:-8].abs().max() < 0.05
    assert (away - x).abs().mean() > 3 * (still - x).abs().mean()


def test_turn_foreshortens_the_far_cheek() -> None:
    """A mark on one cheek grows as the head turns it to the camera, and shrinks as it turns away."""
    x = _face()
    marked = x.clone()
    marked[:, 70:76, 40:46] = -1.0  # on the left of the picture
    areas = []
    for degrees in (-30.0, 30.0):
        one, other = (turned(picture, ffhq_template(SIDE), degrees) for picture in (marked, x))
        areas.append(int(((one - other).abs().sum(0) > 0.5).sum()))
    assert 0 < areas[0] < 0.7 * areas[1]


@pytest.mark.parametrize("what", ["glasses", "heavy make-up"])
def test_transfer(what: str) -> None:
    """All of a drawing counts 1, none 0, half of it a half; another change of the picture counts little."""
    truth = _face()
    worn = drawn(what, truth)
    assert transfer(what, truth, worn, truth) == pytest.approx(1.0, abs=0.02)
    assert transfer(what, truth, truth, truth) == 0.0
    assert transfer(what, truth, (worn + truth) / 2, truth) == pytest.approx(0.5, abs=0.02)


def test_conditions_draw_where_they_say() -> None:
    """So many references are drawn on, the photo only where it is named; the same seed picks the same."""
    manifest, _ = make_manifest({"anna": [f"{i}.png" for i in range(7)]})
    (entry,) = manifest.people
    names = [r.photo for r in entry.references] + [t.photo for t in entry.trials]
    photos = {name: Photo(name, _face(i), "", 0) for i, name in enumerate(names)}
    person = EvaluatedPerson(entry, photos, tuple(Trial(t, photos[t.photo]) for t in entry.trials))
    for condition in CONDITIONS:
        altered = condition.applied(person, 0)
        differing = [name for name in names if not torch.equal(altered.photos[name].crop, photos[name].crop)]
        assert sum(name in [r.photo for r in entry.references] for name in differing) == condition.references
        assert all(torch.equal(t.truth, altered.photos[t.entry.photo].crop) for t in altered.trials)
        assert len(differing) == condition.references + condition.photo * len(entry.trials)
        again = condition.applied(person, 0)
        assert all(torch.equal(again.photos[name].crop, altered.photos[name].crop) for name in names)
    assert CONDITIONS[0].name == PLAIN
    assert REFERENCES == 5
