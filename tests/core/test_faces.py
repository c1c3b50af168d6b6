"""Tests of the detector's door: insightface behind it, on real .onnx files."""

from pathlib import Path

import numpy as np
import pytest

from core.alignment import ffhq_template
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


@pytest.mark.parametrize("length", [4096, 4097, 6144, 6145, 8192])
def test_long_strips(detector: FaceDetector, length: int) -> None:
    """The longest and narrowest photo that is accepted has no face, upright or lying, and breaks nothing."""
    strip = np.zeros((32, length, 3), np.uint8)
    assert detector.detect(strip) == detector.detect(strip.transpose(1, 0, 2)) == []


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


def boxed(x0: float, y0: float, x1: float, y1: float, score: float = 1.0) -> Face:
    """Return a face of which only box and score matter."""
    return Face((x0, y0, x1, y1), np.zeros((5, 2)), score)


class Found:
    """A detector's network that finds what it is told, at one size."""

    def __init__(self, *faces: Face, side: int = 128) -> None:
        self._faces, self._side = faces, side

    def detect(self, _: np.ndarray, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes with scores (n, 5) and landmarks (n, 5, 2), as insightface does."""
        told = self._faces if input_size == (self._side, self._side) else ()
        boxes = np.array([(*face.box, face.score) for face in told]).reshape(-1, 5)
        landmarks = [ffhq_template(64) + box[:2] for box in boxes]
        return boxes, np.array(landmarks).reshape(-1, 5, 2)


@pytest.mark.parametrize(
    ("faces", "kept"),
    [
        ([boxed(0, 0, 100, 100, 0.7), boxed(30, 30, 60, 60, 0.75)], [0]),  # an eye a little surer than its face
        ([boxed(0, 0, 400, 400, 0.51), boxed(30, 30, 70, 70, 0.9), boxed(200, 30, 240, 70, 0.9)], [1, 2]),  # a crowd
        ([boxed(0, 0, 100, 100, 0.8), boxed(60, 0, 160, 100, 0.8)], [0, 1]),  # cheek to cheek
        ([boxed(100, 100, 50, 40, 0.9), boxed(0, 0, 80, 80, 0.6)], [1]),  # inside out
        ([boxed(10, 10, 10, 60, 0.9)], []),  # without width
    ],
)
def test_parts_are_no_faces(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch, faces: list[Face], kept: list[int]
) -> None:
    """Of a face and its parts the face is kept, neighbours are both kept, and boxes that are none are not."""
    monkeypatch.setattr(detector._analysis, "det_model", Found(*faces))
    found = detector.detect(np.zeros((400, 400, 3), np.uint8))
    assert sorted(face.box for face in found) == sorted(faces[i].box for i in kept)


@pytest.mark.parametrize(("side", "kept"), [(640, 0), (320, 1), (192, 1), (128, 1)])
def test_large_faces_are_found_in_small_squares(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch, side: int, kept: int
) -> None:
    """A face that fills half of the photo is believed where it has at most 200 px, not where it has 320."""
    monkeypatch.setattr(detector._analysis, "det_model", Found(boxed(0, 0, 200, 200), side=side))
    assert len(detector.detect(np.zeros((400, 400, 3), np.uint8))) == kept


class Reader:
    """A landmark network that knows where a bright dot lies, in an aligned crop and in its mirror image."""

    def get(self, bgr: np.ndarray, _: object) -> np.ndarray:
        """Return the template, moved so that its nose is at the dot; mirrored where the dark half is on the left."""
        points = ffhq_template(256)
        row, column = np.unravel_index(bgr[..., 0].argmax(), bgr.shape[:2])
        return points + (column + 0.5, row + 0.5) - points[2]


def test_landmarks_are_read_again(detector: FaceDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pack's landmark network sees in the aligned crop replaces the detector's own reading."""
    pixels = np.zeros((400, 400, 3), np.uint8)
    nose = (165.0, 180.0)
    pixels[179:181, 164:166] = 200
    monkeypatch.setattr(detector._analysis, "det_model", Found(boxed(130, 140, 194, 204)))
    monkeypatch.setattr(detector, "_landmarks", Reader())
    (face,) = detector.detect(pixels)
    np.testing.assert_allclose(face.landmarks[2], nose, atol=0.5)


def test_overlap() -> None:
    """Intersection over union: the same box 1, half of one a third, apart 0."""
    one = boxed(0, 0, 10, 10)
    assert overlap(one, one) == 1
    assert overlap(one, boxed(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap(one, boxed(20, 20, 30, 30)) == 0
