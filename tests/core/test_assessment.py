"""Tests of reference photos at the door: what is accepted, what is refused and why, and the photos among themselves."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.assessment import Assessment, accepted_references, assess_photo, compared, judged
from core.backbone import Backbone, load_backbone
from core.faces import Face
from core.images import Photo
from core.likeness import FaceEmbeddings
from core.quality import Quality
from core.references import Reference
from tests.tiny_bundle import photo_of, write_whole_bundle


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The tiny bundle with a detector of marks."""
    return load_backbone(write_whole_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


def made(first: tuple[float, float], score: float = 0.9, seed: int = 0) -> Assessment:
    """Return an accepted photo with a given embedding."""
    generator = torch.Generator().manual_seed(seed)
    crop = torch.rand(3, 32, 32, generator=generator) * 2 - 1
    row = torch.nn.functional.normalize(torch.tensor([first]), dim=-1)
    return Assessment(Reference(crop, Quality(score, ("sharp",))), FaceEmbeddings(row, torch.zeros(1, 0)))


def crooked(backbone: Backbone, photo: Photo) -> Backbone:
    """Return the bundle with a detector whose landmarks lie on one line, as on a face too blurry to read."""
    (face,) = backbone.detector.detect(photo.pixels)
    line = np.linspace(face.box[:2], face.box[2:], 5)

    class Blurred:
        def detect(self, _: np.ndarray) -> list[Face]:
            return [replace(face, landmarks=line)]

    other = replace(backbone)
    other.__dict__["detector"] = Blurred()
    return other


def test_accepted(whole: Backbone) -> None:
    """A photo with one face becomes an aligned crop with a quality and embeddings by both recognizers."""
    assessment = assess_photo(whole, photo_of((240, 160)))
    assert assessment.accepted
    assert assessment.reference is not None
    assert assessment.reference.crop.shape == (3, whole.resolution, whole.resolution)
    assert 0 <= assessment.reference.quality.score <= 1
    assert assessment.embeddings is not None
    assert assessment.embeddings.second.shape[-1] > 0


def test_refused(whole: Backbone) -> None:
    """No face, several faces and a face of a dozen pixels are refused, each with its reason and what to do."""
    photos = {
        "no_face": photo_of(),
        "multiple_faces": photo_of((112, 176), (368, 176)),
        "too_small": photo_of((20, 16), size=(40, 32)),
    }
    for reason, photo in photos.items():
        assessment = assess_photo(whole, photo)
        assert assessment.reason == reason
        assert assessment.explanation
        assert assessment.reference is None


def test_landmarks_that_are_no_face(whole: Backbone) -> None:
    """Landmarks that do not form a face are refused: the crop would be of anything."""
    photo = photo_of((240, 160))
    assert assess_photo(crooked(whole, photo), photo).reason == "too_blurry_to_find_landmarks"


def test_bad_quality_is_no_reason(whole: Backbone) -> None:
    """A bad photo is judged bad and used: its quality words are there for that."""
    photo = photo_of((240, 160))
    noise = np.random.default_rng(0).normal(0, 40, photo.pixels.shape)
    noisy = Photo(np.clip(photo.pixels + noise, 0, 255).astype(np.uint8))
    assert assess_photo(whole, noisy).accepted


def test_no_assessor(whole: Backbone) -> None:
    """A bundle without a quality network takes every photo for a good one."""
    assert judged(replace(whole, quality=None), torch.zeros(3, 64, 64)).words == ("sharp",)


def test_duplicates(whole: Backbone) -> None:
    """The same photo twice counts once; the later one says which it repeats."""
    results = compared(whole, [made((1.0, 0.1)), made((1.0, 0.0), seed=1), made((1.0, 0.1))])
    assert [one.reason for one in results] == [None, None, "duplicate"]
    assert "number 1" in results[2].explanation
    assert len(accepted_references(results)) == 2


def test_odd_one_out(whole: Backbone) -> None:
    """Of several photos, the one that clearly shows another person is refused, wherever it stands."""
    person = [made((1.0, 0.1), seed=1), made((1.0, 0.2), seed=2), made((1.0, 0.3), seed=3)]
    for place in range(4):
        photos = [*person[:place], made((-1.0, 0.4), seed=4), *person[place:]]
        reasons = [one.reason for one in compared(whole, photos)]
        assert [i for i, reason in enumerate(reasons) if reason] == [place]
        assert reasons[place] == "different_person"


def test_one_that_may_be_somebody_else(whole: Backbone) -> None:
    """A photo that is neither clearly another person's nor clearly the same is used, and the doubt is said."""
    results = compared(whole, [made((1.0, 0.0), seed=1), made((1.0, 0.1), seed=2), made((0.3, 1.0), seed=3)])
    assert all(one.accepted for one in results)
    assert [bool(one.explanation) for one in results] == [False, False, True]
    assert "perhaps another person" in results[2].explanation


def test_two_that_disagree(whole: Backbone) -> None:
    """Of two people in two photos, the better photo stays."""
    results = compared(whole, [made((1.0, 0.0), 0.3, seed=1), made((-1.0, 0.1), 0.8, seed=2)])
    assert [one.reason for one in results] == ["different_person", None]


def test_refused_photos_stay_refused(whole: Backbone) -> None:
    """Photos that were refused one by one keep their reason and are compared with nobody."""
    refused = assess_photo(whole, photo_of())
    results = compared(whole, [refused, made((1.0, 0.0)), refused])
    assert [one.reason for one in results] == ["no_face", None, "no_face"]
    assert compared(whole, []) == []
