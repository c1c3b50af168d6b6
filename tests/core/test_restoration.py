"""Tests of the main job on whole photos: who is found, what changes and what does not, the evidence, the gate."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.alignment import soft_mask
from core.backbone import Backbone
from core.errors import FaceTooSmall, Interrupted, NotFinite, SeveralFaces
from core.images import Photo
from core.injector import Adapter
from core.matching import Wish
from core.person import person_of_adapter
from core.pixels import to_pixels, to_tensor
from core.references import face_embeddings
from core.restoration import PreparedFace, pasted, prepare, restore_faces
from tests.core.scene_of_two import GATED, LEFT_BOX, QUICK, changed, person_in, restored_photo
from tests.tiny_bundle import photo_of


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


def test_an_adapter_that_overflows(whole: Backbone, two: Photo, alice_here: Adapter) -> None:
    """Weights that are far too large make no picture: the gate sees to it, and without it nothing is pasted."""
    huge = {name: torch.full_like(weight, 6e4) for name, weight in alice_here.lora.items()}
    wish = Wish(person_of_adapter(whole, replace(alice_here, lora=huge)), box=LEFT_BOX)
    faces = prepare(whole, two, [wish])
    (gated,) = restore_faces(whole, faces, GATED)
    assert gated.evidence.tier != "personalized"
    assert gated.evidence.fallback is not None
    assert "not finite" in gated.evidence.fallback
    json.dumps(gated.evidence.as_dict(), allow_nan=False)
    with pytest.raises(NotFinite):
        pasted(two, restore_faces(whole, faces, QUICK))


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
