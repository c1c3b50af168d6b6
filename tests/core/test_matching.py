"""Tests of who is where in a photo: by index, by box, by likeness; strangers, and faces that are not there."""

import re

import pytest

from core.backbone import Backbone
from core.errors import IdentityMismatch, InvalidOption, NoFaceFound, SeveralFaces
from core.images import Photo
from core.injector import Adapter
from core.matching import Wish
from core.person import person_of_adapter
from core.restoration import prepare
from tests.core.scene_of_two import LEFT_BOX, calibrated, changed, person_in, restored_photo, rewritten
from tests.tiny_bundle import photo_of


def test_lone_face_needs_no_choice(whole: Backbone, alice_here: Adapter) -> None:
    """With one face in the photo and one person named, nothing has to be chosen."""
    photo = photo_of((240, 160))
    (face,) = prepare(whole, photo, [Wish(person_of_adapter(whole, alice_here))])
    x0, y0, x1, y1 = face.box
    assert x0 < 240 < x1
    assert y0 < 160 < y1


def test_several_faces_and_nobody_named(whole: Backbone, two: Photo) -> None:
    """Nobody named and several faces is an error that lists them."""
    with pytest.raises(SeveralFaces, match=r"2 faces.*0: .*1: "):
        prepare(whole, two, [Wish()])


def test_faces_are_called_by_the_numbers_that_choose_them(whole: Backbone) -> None:
    """Where some are taken, the faces that are left keep the numbers that `face` counts by."""
    photo = photo_of((100, 100), (250, 100), (400, 100), size=(520, 220))
    boxes = [prepare(whole, photo, [Wish(face=i)])[0].box for i in range(3)]
    with pytest.raises(SeveralFaces) as refusal:
        prepare(whole, photo, [Wish(face=0), Wish()])
    listed = dict(re.findall(r"(\d): ([-\d, ]+)", str(refusal.value).partition("(x0, y0, x1, y1): ")[2]))
    assert listed == {str(i): ", ".join(f"{side:.0f}" for side in boxes[i]) for i in (1, 2)}


def test_named_person_is_found_among_several(whole: Backbone, two: Photo) -> None:
    """Of several faces, the one that is clearly the named person's is taken."""
    backbone = calibrated(whole, two)
    for i in (0, 1):
        (face,) = prepare(backbone, two, [Wish(person_in(backbone, two, i))])
        (wanted,) = prepare(backbone, two, [Wish(face=i)])
        assert face.box == wanted.box
        assert face.likeness == pytest.approx(1.0, abs=1e-3)


def test_unclear_person_is_asked_for(whole: Backbone, two: Photo) -> None:
    """Where both faces are as alike, the person at the keyboard decides."""
    with pytest.raises(SeveralFaces, match="clearly"):
        prepare(whole, two, [Wish(person_in(whole, two, 0))])


def test_each_person_gets_a_face(whole: Backbone, two: Photo) -> None:
    """Two people named in either order get their own faces, each once."""
    backbone = calibrated(whole, two)
    people = [person_in(backbone, two, i) for i in (1, 0)]
    faces = prepare(backbone, two, [Wish(person) for person in people])
    wanted = prepare(backbone, two, [Wish(face=1), Wish(face=0)])
    assert [face.box for face in faces] == [face.box for face in wanted]


def test_more_people_than_faces(whole: Backbone, two: Photo) -> None:
    """A person without a face left in the photo is an error."""
    backbone = calibrated(whole, two)
    people = [person_in(backbone, two, i) for i in (1, 0)]
    with pytest.raises(NoFaceFound, match="each person"):
        prepare(backbone, two, [Wish(person) for person in [*people, people[0]]])


def test_somebody_else_is_refused(whole: Backbone, two: Photo) -> None:
    """A face that is clearly another person's is refused, found by itself or chosen by its index."""
    with pytest.raises(IdentityMismatch, match="stranger"):
        prepare(strict(whole), two, [Wish(person_in(whole, two, 1), face=0)])
    alone = photo_of((240, 160))
    with pytest.raises(IdentityMismatch, match="stranger"):
        prepare(strict(whole), alone, [Wish(person_in(whole, two, 1))])


@pytest.mark.parametrize("beside", [False, True], ids=["about the face", "beside it"])
def test_a_box_insists(whole: Backbone, two: Photo, beside: bool) -> None:
    """Who draws a box about another person's face, or where no face was found, gets it restored."""
    (found,) = prepare(whole, two, [Wish(face=0)])
    box = (20.0, 20.0, 80.0, 80.0) if beside else found.box
    (face,) = prepare(strict(whole), two, [Wish(person_in(whole, two, 1), box=box)])
    assert face.box == box
    assert face.likeness is not None
    assert face.likeness < 0


def strict(backbone: Backbone) -> Backbone:
    """Return the bundle with recognizers to which nearly everybody is a stranger."""
    return rewritten(backbone, {"first": [0.9999, 1.0], "second": [0.9999, 1.0]})


def test_no_face(whole: Backbone, alice_here: Adapter) -> None:
    """A photo without a face says so; a box by hand restores what is in it."""
    photo, person = photo_of(), person_of_adapter(whole, alice_here)
    for wish in (Wish(person), Wish(person, face=0), Wish()):
        with pytest.raises(NoFaceFound, match="box"):
            prepare(whole, photo, [wish])
    after, _ = restored_photo(whole, photo, [Wish(person, box=(100.0, 60.0, 260.0, 240.0))])
    assert changed(photo, after)[150, 180]


def test_box_means_the_face_in_it(whole: Backbone, two: Photo) -> None:
    """A box about a face that was found uses its landmarks."""
    (by_box,), (by_index,) = (prepare(whole, two, [wish]) for wish in (Wish(box=LEFT_BOX), Wish(face=0)))
    (other,) = prepare(whole, two, [Wish(face=1)])
    assert by_box.box in (by_index.box, other.box)
    assert by_box.box[0] < 112 < by_box.box[2]


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        (Wish(face=2), "0 to 1"),
        (Wish(face=-1), "0 to 1"),
        (Wish(face=0, box=LEFT_BOX), "one of them"),
        (Wish(box=(10.0, 10.0, 500.0, 100.0)), "480x320"),
        (Wish(box=(100.0, 10.0, 50.0, 100.0)), "x0 < x1"),
        (Wish(box=(float("nan"), 10.0, 50.0, 100.0)), "x0 < x1"),
    ],
)
def test_places_that_are_not_there(whole: Backbone, two: Photo, wish: Wish, word: str) -> None:
    """An index or a box outside the photo is refused with what there is."""
    with pytest.raises(InvalidOption, match=word):
        prepare(whole, two, [wish])


def test_one_face_for_two_people(whole: Backbone, two: Photo) -> None:
    """One face cannot be two people."""
    with pytest.raises(InvalidOption, match="twice"):
        prepare(whole, two, [Wish(face=0), Wish(face=0)])
