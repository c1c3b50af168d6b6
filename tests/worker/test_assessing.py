"""Tests of verdicts on reference photos."""

from dataclasses import replace

import numpy as np

from core.backbone import Backbone
from core.images import Photo
from tests.worker.house import photo
from worker.assessing import assess


def test_a_good_photo(backbone: Backbone) -> None:
    """A photo with one face is accepted, and the advice says what is still wanted."""
    verdict = assess(backbone, photo(1), [])
    assert verdict.assessment.accepted
    assert verdict.assessment.reference is not None
    assert verdict.advice is not None


def test_what_is_refused(backbone: Backbone) -> None:
    """No face and several faces are refused, with a sentence that says what to do."""
    nobody = assess(backbone, Photo(np.zeros((200, 200, 3), np.uint8)), [])
    several = assess(backbone, photo(1, (60, 128), (190, 128)), [])
    assert (nobody.assessment.reason, several.assessment.reason) == ("no_face", "multiple_faces")
    assert nobody.advice is not None
    assert nobody.advice.endswith(".")


def test_a_photo_is_not_taken_twice(backbone: Backbone) -> None:
    """The same photo once more is a duplicate; another one is not."""
    first = assess(backbone, photo(1), []).assessment
    assert assess(backbone, photo(1), [first]).assessment.reason == "duplicate"
    assert assess(backbone, photo(2), [first]).assessment.accepted


def test_perhaps_somebody_else(backbone: Backbone) -> None:
    """Where it may be somebody else, the photo is taken and the person who sent it is told."""
    scale = {"first": [-1.0, 4.0], "second": [-1.0, 4.0]}  # everybody is neither a stranger nor the same
    unsure = replace(backbone, manifest={**backbone.manifest, "calibration": scale})
    first = assess(unsure, photo(1), []).assessment
    second = assess(unsure, photo(2), [first])
    assert second.assessment.accepted
    assert second.advice is not None
    assert "somebody else" in second.advice


def test_somebody_else(backbone: Backbone) -> None:
    """Where a new photo disagrees with those before it, the new one is refused, however good it is."""
    scale = {"first": [2.0, 3.0]}  # cosines that nobody reaches: everybody is a stranger
    strict = replace(backbone, manifest={**backbone.manifest, "calibration": scale})
    first = assess(strict, photo(1), []).assessment
    assert first.accepted
    assert assess(strict, photo(2), [first]).assessment.reason == "different_person"
