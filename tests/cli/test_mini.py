"""Tests of the main job on real portraits, with the bundle that comes along."""

from pathlib import Path

import numpy as np
import pytest

from cli.scene import PHOTO, PORTRAITS, Scene, demo_scene, portrait
from core.assessment import accepted_references, assess_photo, compared
from core.backbone import Backbone, load_backbone
from core.errors import SeveralFaces
from core.images import Photo
from core.likeness import likeness
from core.matching import Wish
from core.options import RestoreOptions
from core.person import Person, person_of_references
from core.restoration import pasted, prepare, restore_faces

MINI = Path(__file__).parents[2] / "bundles" / "mini"


@pytest.fixture(scope="module")
def mini() -> Backbone:
    """The bundle that comes along."""
    return load_backbone(MINI)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Two references of one person, and a spoilt picture of him among three others."""
    return demo_scene()


@pytest.fixture(scope="module")
def person(mini: Backbone, scene: Scene) -> Person:
    """The person in the references."""
    judged = compared(mini, [assess_photo(mini, Photo(pixels)) for pixels in scene.references])
    assert all(one.accepted for one in judged), [one.explanation for one in judged]
    return person_of_references(mini, accepted_references(judged))


def test_every_portrait_is_a_reference(mini: Backbone) -> None:
    """Each portrait is accepted, its face found upright where the portrait was cropped to have it."""
    for path in sorted(PORTRAITS.glob("*.jpg")):
        assert assess_photo(mini, Photo(portrait(path.name))).accepted, path.name
        face, *others = mini.detector.detect(portrait(path.name))
        assert all(other.score < face.score for other in others), path.name
        assert 45 < face.eye_distance < 80, path.name
        assert np.abs(face.landmarks[2] - (128, 157)).max() < 20, path.name


def test_only_the_named_person_in_a_group_changes(mini: Backbone, scene: Scene, person: Person) -> None:
    """Of four people in a spoilt picture the one in the references is found; nobody else changes by a bit."""
    photo = Photo(scene.photo)
    (face,) = prepare(mini, photo, [Wish(person)])
    assert 300 < face.box[0] < face.box[2] < 500  # the second of four portraits
    restored = restore_faces(mini, [face], RestoreOptions(steps=2, guidance=False))
    changed = (pasted(photo, restored).pixels != scene.photo).any(-1)
    assert changed[int(face.box[1]) : int(face.box[3]), int(face.box[0]) : int(face.box[2])].mean() > 0.5
    assert not changed[:, :262].any()  # the first portrait
    assert not changed[:, 525:].any()  # the third and fourth


def test_nobody_named_in_a_group(mini: Backbone, scene: Scene) -> None:
    """Where nobody is named, the four faces are listed and none is taken."""
    with pytest.raises(SeveralFaces, match="4 faces"):
        prepare(mini, Photo(scene.photo), [Wish()])


def test_a_third_photograph_is_known_again(mini: Backbone, person: Person) -> None:
    """The third photograph is more like the references than any other person's portrait is."""
    assert person.identity is not None
    alike = {}
    for path in [*sorted(PORTRAITS.glob("*_2.jpg")), PORTRAITS / PHOTO]:
        assessment = assess_photo(mini, Photo(portrait(path.name)))
        assert assessment.embeddings is not None
        alike[path.name] = float(likeness(mini, assessment.embeddings, person.identity)[0])
    strangers = [value for name, value in alike.items() if not name.startswith("dwight_evans")]
    assert alike[PHOTO] > max(strangers) > -1
