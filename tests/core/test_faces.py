"""Tests of the detector's door: insightface behind it, on real .onnx files."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import MissingBundle
from core.faces import Face, FaceDetector, overlap
from tests.marked_faces import write_detector
from tests.tiny_bundle import photo_of


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> FaceDetector:
    """A detector that finds marks."""
    folder = tmp_path_factory.mktemp("faces")
    write_detector(folder / "detection.onnx")
    return FaceDetector(folder)


def test_finds_every_mark(detector: FaceDetector) -> None:
    """Each mark is found once, with landmarks in their places: eyes above, mouth below, left before right."""
    photo = photo_of((112, 176), (368, 176))
    faces = detector.detect(photo.pixels)
    assert sorted(round((face.box[0] + face.box[2]) / 2, -1) for face in faces) == pytest.approx([110, 370], abs=11)
    for face in faces:
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_eye[1] < nose[1] < left_mouth[1]
        assert left_mouth[0] < right_mouth[0]
        assert face.eye_distance == pytest.approx(float(right_eye[0] - left_eye[0]), abs=0.1)
        assert 0.5 <= face.score <= 1


def test_largest_comes_first(detector: FaceDetector) -> None:
    """Faces are ordered by their area, so that an index means something."""
    areas = [face.area for face in detector.detect(photo_of((112, 176), (368, 176)).pixels)]
    assert areas == sorted(areas, reverse=True)


def test_nobody(detector: FaceDetector) -> None:
    """A photo without marks has no faces, whatever its shape."""
    for size in ((480, 320), (320, 480), (40, 32), (1200, 90)):
        assert detector.detect(photo_of(size=size).pixels) == []


def test_large_photos(detector: FaceDetector) -> None:
    """A face in a large photo is found at its own place, in the photo's pixels."""
    (face,) = detector.detect(photo_of((900, 1200), size=(1600, 2400)).pixels)
    assert face.box[0] < 900 < face.box[2]
    assert face.box[1] < 1200 < face.box[3]


def test_no_detector(tmp_path: Path) -> None:
    """A folder without a pack is an error of ours: insightface would go and download one."""
    with pytest.raises(MissingBundle, match="detector"):
        FaceDetector(tmp_path)
    with pytest.raises(MissingBundle, match="detector"):
        FaceDetector(tmp_path / "nowhere")


def test_pack_without_a_detector(tiny_folder: Path) -> None:
    """A folder that holds a recognizer only is refused as well."""
    with pytest.raises(MissingBundle, match="detector"):
        FaceDetector(tiny_folder / "faces")


def test_overlap() -> None:
    """Intersection over union: the same box 1, half of one a third, apart 0."""

    def boxed(*box: float) -> Face:
        return Face((box[0], box[1], box[2], box[3]), np.zeros((5, 2)), 1.0)

    one = boxed(0, 0, 10, 10)
    assert overlap(one, one) == 1
    assert overlap(one, boxed(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap(one, boxed(20, 20, 30, 30)) == 0
