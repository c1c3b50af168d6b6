"""Faces in a photograph: insightface's detector, behind one door."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from insightface.app import FaceAnalysis
from insightface.app.common import Face as InsightFace
from onnxruntime import SessionOptions

from core.alignment import alignment, crop, placed
from core.errors import MissingBundle

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the photograph
_SIDES = (640, 320, 192, 128)  # px of the square that the detector sees: large for groups, small for portraits
_LARGEST = 200  # px of a face in that square: landmarks of larger ones drift inwards, and a smaller square has them
_THRESHOLD = 0.5
_REFINED = 12  # faces of a photo, the largest, whose landmarks are read again
_READINGS = 2  # each starts from the alignment that the one before it gave
LANDMARK_CROP = 256  # px of the aligned crop in which they are
LANDMARK_BOX = (59.5, 51.5, 193.5, 230.5)  # where the face lies in it, as detectors box faces
_MIRRORED = [1, 0, 2, 4, 3]  # which landmark each becomes in a mirror
_LANDMARKS = "landmark_2d_5"  # insightface's name for a network of five points
_WITHIN = 0.7  # share of the smaller box at which two finds are one
_SIZE_COUNTS = 0.05  # of score for twice the area, where two finds are one


@dataclass(frozen=True)
class Face:
    """One face found: box (x0, y0, x1, y1) and five landmarks (5, 2), in pixels of the photograph.

    Landmarks: left eye, right eye, nose, left and right mouth corner, as seen in the picture.
    """

    box: Box
    landmarks: np.ndarray
    score: float

    @property
    def eye_distance(self) -> float:
        """Return the distance of the eyes in pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))

    @property
    def area(self) -> float:
        """Return the box's area in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


class FaceDetector:
    """Detects faces with the pack in a bundle's `faces/` folder."""

    def __init__(self, folder: Path) -> None:
        if not any(folder.glob("*.onnx")):  # FaceAnalysis would try to download a pack of that name
            raise MissingBundle(f"got {folder}, which holds no .onnx detector; wanted a bundle's faces folder")
        try:
            self._analysis = FaceAnalysis(
                name=str(folder.resolve()),
                allowed_modules=["detection", _LANDMARKS],
                providers=["CPUExecutionProvider"],
                sess_options=_as_many_threads_as_torch(),
            )
        except AssertionError:  # its way of saying that it knew none of the files for a detector
            raise MissingBundle(f"got {folder}, whose .onnx files are no detector; wanted an SCRFD-style one") from None
        self._landmarks = self._analysis.models.get(_LANDMARKS)
        self._analysis.prepare(ctx_id=-1, det_thresh=_THRESHOLD, det_size=(_SIDES[0], _SIDES[0]))

    def detect(self, pixels: np.ndarray) -> list[Face]:
        """Find the faces in pixels (H, W, 3), RGB uint8; largest first.

        The photo is looked at in several sizes, since one that fills the picture escapes a detector at full size; of
        two finds that overlap, the surer one stays, and of a face and a part of it, the face.
        """
        shorter, longer = sorted(pixels.shape[:2])
        # In a smaller one nothing is left of a long strip.
        sides = [side for side in _SIDES if side * shorter >= longer]
        faces = [face for side in sides for face in self._seen_at(pixels, side)]
        faces = sorted(_distinct(faces), key=lambda face: -face.area)
        return [self._refined(pixels, face) for face in faces[:_REFINED]] + faces[_REFINED:]

    def _seen_at(self, pixels: np.ndarray, side: int) -> list[Face]:
        """Return what is found with the photo shrunk, or enlarged, into a square of one size."""
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        boxes, landmarks = self._analysis.det_model.detect(bgr, input_size=(side, side))
        faces = [
            Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), points, float(box[4]))
            for box, points in zip(boxes, landmarks, strict=True)
        ]
        largest = _LARGEST * max(bgr.shape[:2]) / side
        return [face for face in faces if max(face.box[2] - face.box[0], face.box[3] - face.box[1]) <= largest]

    def _refined(self, pixels: np.ndarray, face: Face) -> Face:
        """Read a face's landmarks again, upright, in the aligned crop and its mirror image, where the pack can."""
        if self._landmarks is None:
            return face
        for _ in range(_READINGS):
            matrix = alignment(face.landmarks, LANDMARK_CROP)
            aligned = crop(pixels, matrix, LANDMARK_CROP)
            points = (self._read(aligned) + mirrored(self._read(aligned[:, ::-1]))) / 2
            face = replace(face, landmarks=placed(cv2.invertAffineTransform(matrix), points))
        return face

    def _read(self, aligned: np.ndarray) -> np.ndarray:
        """Return the five landmarks (5, 2) of the face that an aligned crop shows, in px of it."""
        bgr = np.ascontiguousarray(aligned[..., ::-1])
        return np.asarray(self._landmarks.get(bgr, InsightFace(bbox=np.array(LANDMARK_BOX))))


def mirrored(points: np.ndarray) -> np.ndarray:
    """Return the five landmarks (5, 2) of an aligned crop as they lie in its mirror image."""
    return (points * (-1, 1) + (LANDMARK_CROP, 0))[_MIRRORED]


def _as_many_threads_as_torch() -> SessionOptions:
    """Return options of onnxruntime that keep it from taking every core, whatever is left to others."""
    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return options


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """Drop boxes that are none, and what lies within a face that is surer, its size considered: an eye is no face."""
    whole = [face for face in faces if face.box[0] < face.box[2] and face.box[1] < face.box[3]]
    kept: list[Face] = []
    for face in sorted(whole, key=lambda face: -(face.score + _SIZE_COUNTS * math.log2(face.area))):
        if all(shared_area(face, other) < _WITHIN * min(face.area, other.area) for other in kept):
            kept.append(face)
    return kept


def overlap(a: Face, b: Face) -> float:
    """Return intersection over union of two faces' boxes."""
    shared = shared_area(a, b)
    return shared / (a.area + b.area - shared)


def shared_area(a: Face, b: Face) -> float:
    """Return the area that two faces' boxes share, in square pixels."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(0.0, width) * max(0.0, height)
