"""Tests of the main job on whole photos: who is found, what changes and what does not, the evidence, the gate."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.alignment import soft_mask
from core.backbone import Backbone, load_backbone
from core.errors import (
    FaceTooSmall,
    IdentityMismatch,
    Interrupted,
    InvalidOption,
    NoFaceFound,
    SeveralFaces,
)
from core.images import Photo
from core.injector import Adapter
from core.matching import Wish
from core.options import RestoreOptions
from core.person import Person, person_of_adapter, person_of_references
from core.pixels import to_pixels, to_tensor
from core.quality import Quality
from core.references import Reference, face_embeddings
from core.restoration import PreparedFace, RestoredFace, pasted, prepare, restore_faces
from tests.core.conftest import made_adapter
from tests.tiny_bundle import photo_of, write_whole_bundle

QUICK = RestoreOptions(steps=2, gate=False)  # random networks make everything worse
GATED = replace(QUICK, gate=True)
LEFT, RIGHT = (112, 176), (368, 176)  # places of two faces in a photo of 480x320
# 480x320 is seen at 640 px, where a face has 192 px: about 144 px here.
LEFT_BOX = (40.0, 104.0, 184.0, 248.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The tiny bundle with a detector of marks and a second recognizer; no test may change it."""
    backbone = load_backbone(write_whole_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))
    return rewritten(backbone, {"first": [-1.0, 1.0], "second": [-1.0, 1.0]})  # nobody is refused


@pytest.fixture(scope="module")
def two() -> Photo:
    """A photo of two people."""
    return photo_of(LEFT, RIGHT)


@pytest.fixture(scope="module")
def alice_here(whole: Backbone) -> Adapter:
    """One person's adapter on this bundle."""
    return made_adapter(whole, seed=1)


@pytest.fixture(scope="module")
def bob_here(whole: Backbone) -> Adapter:
    """Another person's."""
    return made_adapter(whole, seed=2)


def person_in(backbone: Backbone, photo: Photo, face: int, adapter: Adapter | None = None) -> Person:
    """Return the person whom a face of a photo shows, as known from that very face."""
    (prepared,) = prepare(backbone, photo, [Wish(face=face)])
    references = [Reference(prepared.lq, Quality(0.9, ("sharp",)))]
    if adapter is None:
        return person_of_references(backbone, references)
    return person_of_adapter(backbone, adapter, references)


def calibrated(backbone: Backbone, photo: Photo) -> Backbone:
    """Return the bundle with recognizers calibrated so that the two faces of the photo are strangers to each other."""
    left, right = prepare(backbone, photo, [Wish(face=0), Wish(face=1)])
    cosines = {
        name: float(getattr(left.embeddings, name)[0] @ getattr(right.embeddings, name)[0])
        for name in ("first", "second")
    }
    calibration = {name: [cosine, 1.0] for name, cosine in cosines.items()}
    return rewritten(backbone, calibration)


def rewritten(backbone: Backbone, calibration: dict[str, list[float]]) -> Backbone:
    """Return the bundle with another calibration, sharing its detector."""
    other = replace(backbone, manifest=backbone.manifest | {"calibration": calibration})
    other.__dict__["detector"] = backbone.detector
    return other


def changed(before: Photo, after: Photo) -> np.ndarray:
    """Return where two photos differ, (H, W) bool."""
    return (before.pixels != after.pixels).any(-1)


def restored_photo(backbone: Backbone, photo: Photo, wishes: list[Wish]) -> tuple[Photo, list[RestoredFace]]:
    """Run the whole main job."""
    restored = restore_faces(backbone, prepare(backbone, photo, wishes), QUICK)
    return pasted(photo, restored), restored


def test_only_the_named_face_changes(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """The chosen face changes; outside its mask, the stranger's face among it, every pixel stays to the bit."""
    after, (result,) = restored_photo(whole, two, [Wish(person_of_adapter(whole, alice_here), box=LEFT_BOX)])
    where = changed(two, after)
    x0, y0, x1, y1 = (round(side) for side in result.face.box)
    assert where[y0:y1, x0:x1].mean() > 0.9
    assert not where[:, 270:].any()
    assert after.size == two.size


def test_nothing_outside_the_mask_changes(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """No pixel farther from the crop than the mask's own edge is touched, wherever the crop lies in the photo."""
    for box in (LEFT_BOX, (0.0, 0.0, 90.0, 90.0), (400.0, 240.0, 480.0, 320.0)):
        after, (result,) = restored_photo(whole, two, [Wish(person_of_adapter(whole, alice_here), box=box)])
        height, width = two.pixels.shape[:2]
        y, x = np.mgrid[:height, :width] + 0.5
        matrix, side = result.face.matrix, whole.resolution
        u, v = (matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2] for i in (0, 1))
        inside = (np.minimum(u, v) > 0) & (np.maximum(u, v) < side)
        assert changed(two, after).any()
        assert not changed(two, after)[~inside].any()
    assert soft_mask(whole.resolution)[0].max() == 0


def test_unchanged_face_leaves_the_photo(whole: Backbone, two: Photo) -> None:
    """A crop pasted back as it was cut leaves the photo to the bit."""
    (face,) = prepare(whole, two, [Wish(face=0)])
    (result,) = restore_faces(whole, [face], QUICK)
    assert not changed(two, pasted(two, [replace(result, pixels=face.aligned)])).any()


def test_profile_is_carried_through(whole: Backbone, two: Photo) -> None:
    """The photo's colour profile goes with the result."""
    photo = replace(two, icc_profile=b"profile")
    after, _ = restored_photo(whole, photo, [Wish(face=0)])
    assert after.icc_profile == b"profile"


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
    """A face that is clearly another person's is refused, chosen by hand or not; a box insists."""
    strict = rewritten(whole, {"first": [0.9999, 1.0], "second": [0.9999, 1.0]})
    other = person_in(whole, two, 1)
    with pytest.raises(IdentityMismatch, match="stranger"):
        prepare(strict, two, [Wish(other, face=0)])
    (face,) = prepare(strict, two, [Wish(other, box=(20.0, 20.0, 80.0, 80.0))])
    assert face.likeness is not None
    assert face.likeness < 0


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


def test_too_small(whole: Backbone) -> None:
    """A face of a dozen pixels is refused, found or boxed."""
    with pytest.raises(FaceTooSmall, match="16 px"):
        prepare(whole, photo_of((20, 16), size=(40, 32)), [Wish()])
    with pytest.raises(FaceTooSmall, match="12 px"):
        prepare(whole, photo_of(), [Wish(box=(10.0, 10.0, 22.0, 60.0))])


def prepared(
    whole: Backbone, two: Photo, alice: Adapter, bob: Adapter, seeds: tuple[int, int] = (3, 9)
) -> list[PreparedFace]:
    """Return faces of two photos, one to be restored as Alice, one as Bob."""
    people = [person_of_adapter(whole, adapter) for adapter in (alice, bob)]
    photos = [two, photo_of((240, 160), seed=5)]
    wishes = [Wish(people[0], face=0, seed=seeds[0]), Wish(people[1], seed=seeds[1])]
    return [face for photo, wish in zip(photos, wishes, strict=True) for face in prepare(whole, photo, [wish])]


def test_batch_of_photos_and_people(whole: Backbone, two: Photo, alice_here: Adapter, bob_here: Adapter) -> None:
    """Two photos of two people in one batch come out as they do alone: by their embeddings at least 0.999 alike."""
    faces = prepared(whole, two, alice_here, bob_here)
    together = restore_faces(whole, faces, QUICK)
    alone = [restore_faces(whole, [face], QUICK)[0] for face in faces]
    for ours, theirs in zip(together, alone, strict=True):
        crops = torch.stack([to_tensor(ours.pixels), to_tensor(theirs.pixels)])
        first, second = face_embeddings(whole, crops)
        assert float(first @ second) >= 0.999
        assert np.abs(ours.pixels.astype(int) - theirs.pixels).max() <= 1
    assert np.abs(together[0].pixels.astype(int) - together[1].pixels).max() > 20


def test_a_seed_repeats(whole: Backbone, two: Photo, alice_here: Adapter, bob_here: Adapter) -> None:
    """Equal seeds give equal bits, another seed another face."""
    first, again, other = (
        restore_faces(whole, prepared(whole, two, alice_here, bob_here, seeds), QUICK)
        for seeds in ((3, 9), (3, 9), (4, 9))
    )
    for ours, theirs in zip(first, again, strict=True):
        assert np.array_equal(ours.pixels, theirs.pixels)
        assert ours.evidence == theirs.evidence
    assert not np.array_equal(first[0].pixels, other[0].pixels)


def test_base_before_and_after_an_adapter(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """The base model restores to the same bits before and after a restoration with an adapter, which differs."""
    base = prepare(whole, two, [Wish(face=0)])
    (before,) = restore_faces(whole, base, QUICK)
    (with_adapter,) = restore_faces(
        whole, prepare(whole, two, [Wish(person_of_adapter(whole, alice_here), face=0)]), QUICK
    )
    (after,) = restore_faces(whole, base, QUICK)
    assert np.array_equal(before.pixels, after.pixels)
    assert not np.array_equal(before.pixels, with_adapter.pixels)


def test_tiers(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """Nobody, references alone and an adapter are three tiers; each is named in the evidence."""
    instant = person_in(whole, two, 0)
    tiers = [None, instant, person_of_adapter(whole, alice_here)]
    wished = [prepare(whole, two, [Wish(person, face=0)])[0] for person in tiers]
    results = restore_faces(whole, wished, QUICK)
    assert [result.evidence.tier for result in results] == ["base", "instant", "personalized"]
    assert results[0].evidence.similarity_before is None
    assert results[0].evidence.likeness is None


def test_projection_can_be_left_out(whole: Backbone, two: Photo) -> None:
    """Without projection, guidance and CFG's identity direction, references change nothing."""
    bare = replace(QUICK, projection=False, guidance=False)
    faces = [prepare(whole, two, [Wish(person, face=0)])[0] for person in (None, person_in(whole, two, 0))]
    base, instant = (restore_faces(whole, [face], bare)[0] for face in faces)
    assert np.array_equal(base.pixels, instant.pixels)
    with_projection = restore_faces(whole, faces[1:], replace(bare, projection=True))[0]
    assert not np.array_equal(with_projection.pixels, base.pixels)


def test_adapter_of_other_recognizers(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """What an adapter remembers through other recognizers is not compared with this bundle's; references replace it."""
    foreign = replace(alice_here, metadata=alice_here.metadata | {"recognizers": ["0" * 64, None]})
    person = person_of_adapter(whole, foreign)
    assert person.identity is None
    (result,) = restore_faces(whole, prepare(whole, two, [Wish(person, face=0)]), QUICK)
    assert result.evidence.tier == "personalized"
    assert result.evidence.similarity_after is None
    with pytest.raises(SeveralFaces):
        prepare(whole, two, [Wish(person)])
    known = person_in(whole, two, 0, adapter=foreign)
    assert known.identity is not None
    assert known.tier == "personalized"


def test_evidence_is_json(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """The evidence survives JSON and carries both similarities and the seed."""
    person = person_in(whole, two, 0, adapter=alice_here)
    (result,) = restore_faces(whole, prepare(whole, two, [Wish(person, face=0, seed=7)]), QUICK)
    told = json.loads(json.dumps(result.evidence.as_dict()))
    assert told["seed"] == 7
    assert -1 <= told["similarity_after"] <= 1
    assert told["similarity_before"] == pytest.approx(1.0, abs=1e-3)
    assert len(told["box"]) == 4


def test_gate(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """A result less like the references than the input gives way to the base's or to it, or a warning is said."""
    person = person_in(whole, two, 0, adapter=alice_here)  # known from the input itself: nothing can be more alike
    (face,) = prepare(whole, two, [Wish(person, face=0)])
    (base,) = restore_faces(whole, [replace(face, wish=Wish(face=0))], QUICK)
    (ungated,) = restore_faces(whole, [face], QUICK)
    (result,) = restore_faces(whole, [face], GATED)
    evidence = result.evidence
    assert evidence.wanted == ungated.evidence.tier == "personalized"
    assert (evidence.fallback is None) != (evidence.warning is None)
    assert "input" in (evidence.fallback or evidence.warning or "")
    chosen = {"personalized": ungated.pixels, "base": base.pixels, "untouched": face.aligned}
    assert np.array_equal(result.pixels, chosen[evidence.tier])
    assert (evidence.tier == "personalized") == (evidence.fallback is None)


def test_colour_fix(whole: Backbone, two: Photo) -> None:
    """With the colour fix the result's colours are the input's, without it they drift."""
    faces = prepare(whole, two, [Wish(face=0)])
    fixed, free = (restore_faces(whole, faces, replace(QUICK, colour_fix=flag))[0] for flag in (True, False))
    assert fixed.evidence.colour_shift < 0.5 * free.evidence.colour_shift


def test_progress_and_stop(whole: Backbone, two: Photo) -> None:
    """Every step is told; a stop leaves before the next one."""
    faces, seen = prepare(whole, two, [Wish(face=0)]), []

    def tell(done: int, steps: int) -> None:
        seen.append((done, steps))

    restore_faces(whole, faces, QUICK, progress=tell)
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(Interrupted):
        restore_faces(whole, faces, QUICK, should_stop=lambda: True)


def test_empty_batch(whole: Backbone) -> None:
    """No faces, no results."""
    assert restore_faces(whole, [], QUICK) == []


def test_pixels_and_tensors_are_inverse() -> None:
    """Every level of a pixel survives the way to [-1, 1] and back."""
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_pixels(to_tensor(pixels)), pixels)
