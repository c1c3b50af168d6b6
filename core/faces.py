"""Faces in a photograph: insightface's detector, behind one door."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from insightface.app import FaceAnalysis

from core.errors import MissingBundle

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the photograph
_SIDES = (640, 320, 160)  # px of the square that the detector sees: large for groups, small for portraits
_THRESHOLD = 0.5


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
                name=str(folder.resolve()), allowed_modules=["detection"], providers=["CPUExecutionProvider"]
            )
        except AssertionError:  # its way of saying that it knew none of the files for a detector
            raise MissingBundle(f"got {folder}, whose .onnx files are no detector; wanted an SCRFD-style one") from None
        self._analysis.prepare(ctx_id=-1, det_thresh=_THRESHOLD, det_size=[(side, side) for side in _SIDES])

    def detect(self, pixels: np.ndarray) -> list[Face]:
        """Find the faces in pixels (H, W, 3), RGB uint8; largest first.

        The photo is looked at in several sizes, since one that fills the picture escapes a detector at full size; of
        two finds that overlap, the surer one stays.
        """
        boxes, landmarks = self._analysis.det_model.detect(np.ascontiguousarray(pixels[..., ::-1]))
        faces = [
            Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), points, float(box[4]))
            for box, points in zip(boxes, landmarks, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.area)


def overlap(a: Face, b: Face) -> float:
    """Return intersection over union of two faces' boxes."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a.area + b.area - shared)
