"""Whose face is where in one photo: what each wish names, by index, by box, or by being the only one like the person.

A person that the caller names is compared 1:1 with the faces of this one photo; nobody is searched for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.alignment import alignment, crop
from core.backbone import Backbone
from core.errors import InvalidOption, NoFaceFound, SeveralFaces
from core.faces import Box, Face, overlap
from core.images import Photo
from core.likeness import FaceEmbeddings, embed, likeness
from core.person import Person
from core.pixels import to_tensor

_SAME_PLACE = 0.3  # intersection over union at which a box given by hand means a face that was found
_CLEAR, _CLEAR_MARGIN = 0.35, 0.2  # likeness of a face chosen among several, and its lead over the next


@dataclass(frozen=True)
class Wish:
    """One face to restore: as whom, and where where that should not be searched."""

    person: Person | None = None  # None: by the base model, as nobody in particular
    face: int | None = None  # counted from 0, largest first
    box: Box | None = None  # x0, y0, x1, y1 in pixels of the upright photo
    seed: int = 0


def find_places(backbone: Backbone, photo: Photo, wishes: Sequence[Wish]) -> list[Face | Box]:
    """Return where the face of each wish is, in their order; a box where one was given and no face was found in it.

    NoFaceFound or SeveralFaces where the photo does not answer a wish.
    """
    found = backbone.detector.detect(photo.pixels)
    places: dict[int, Face | Box] = {}
    for i, wish in enumerate(wishes):
        if (place := _given_place(photo, found, wish)) is not None:
            places[i] = place
    taken = [place for place in places.values() if isinstance(place, Face)]
    _no_face_twice(taken)
    free = {number: face for number, face in enumerate(found) if not any(face is other for other in taken)}
    open_wishes = [(i, wish.person) for i, wish in enumerate(wishes) if i not in places]
    places |= _matched(backbone, photo, free, open_wishes)
    return [places[i] for i in range(len(wishes))]


def _given_place(photo: Photo, found: Sequence[Face], wish: Wish) -> Face | Box | None:
    """Return the face that a wish points at by index or box, the box itself where no face was found in it, or None."""
    if wish.box is not None and wish.face is not None:
        raise InvalidOption("got both a face index and a box, wanted one of them")
    if wish.face is not None:
        if not found:
            raise NoFaceFound(_no_face(photo))
        if not 0 <= wish.face < len(found):
            raise InvalidOption(f"got face {wish.face}, wanted one of 0 to {len(found) - 1}, largest first")
        return found[wish.face]
    if wish.box is None:
        return None
    _check_box(photo, wish.box)
    by_hand = Face(wish.box, np.zeros((5, 2)), 1.0)
    nearest = max(found, key=lambda face: overlap(face, by_hand), default=None)
    return nearest if nearest is not None and overlap(nearest, by_hand) >= _SAME_PLACE else wish.box


def _check_box(photo: Photo, box: Box) -> None:
    width, height = photo.size
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        got = ", ".join(f"{side:g}" for side in box)
        raise InvalidOption(f"got a box from ({got}), wanted x0 < x1 and y0 < y1 inside {width}x{height} pixels")


def _no_face_twice(taken: Sequence[Face]) -> None:
    if len({id(face) for face in taken}) < len(taken):
        raise InvalidOption("got one face chosen twice, wanted another face for each person")


def _matched(
    backbone: Backbone, photo: Photo, free: Mapping[int, Face], wishes: Sequence[tuple[int, Person | None]]
) -> list[tuple[int, Face]]:
    """Give each open wish its face: the only one there is, or else the one clearly most like the person.

    `free` are the faces that no wish has taken, by their numbers among all that were found.
    """
    if not wishes:
        return []
    if not free:
        raise NoFaceFound(_no_face(photo))
    if len(free) == len(wishes) == 1:
        (face,) = free.values()
        return [(wishes[0][0], face)]
    embeddings = _embedded(backbone, photo, list(free.values()))
    scores = {}
    for i, person in wishes:
        if person is None or person.identity is None:
            raise SeveralFaces(_choose(free, f"{len(free)} faces and no way to tell whose to restore"))
        scores[i] = likeness(backbone, embeddings, person.identity)
    return _assigned(free, scores)


def _assigned(free: Mapping[int, Face], scores: dict[int, Tensor]) -> list[tuple[int, Face]]:
    """Take the surest pair again and again; a face is given once, and only where its lead is clear."""
    assigned: dict[int, int] = {}
    while len(assigned) < len(scores):
        left = [j for j in range(len(free)) if j not in assigned.values()]
        if not left:
            raise NoFaceFound(f"got {len(scores)} people and {len(free)} faces, wanted a face for each person")
        i = max((i for i in scores if i not in assigned), key=lambda i: float(scores[i][left].max()))
        order = sorted(left, key=lambda j: -float(scores[i][j]))
        best = float(scores[i][order[0]])
        lead = best - float(scores[i][order[1]]) if len(order) > 1 else best
        if best < _CLEAR or lead < _CLEAR_MARGIN:
            raise SeveralFaces(_choose(free, f"{len(free)} faces, none of them clearly the person"))
        assigned[i] = order[0]
    faces = list(free.values())
    return [(i, faces[j]) for i, j in assigned.items()]


def _embedded(backbone: Backbone, photo: Photo, faces: Sequence[Face]) -> FaceEmbeddings:
    side = backbone.resolution
    crops = [to_tensor(crop(photo.pixels, alignment(face.landmarks, side), side)) for face in faces]
    return embed(backbone, torch.stack(crops))


def _no_face(photo: Photo) -> str:
    width, height = photo.size
    return (
        f"got a photo of {width}x{height} pixels without a face that could be found, wanted one; mark it by a box "
        "if there is one"
    )


def _choose(faces: Mapping[int, Face], got: str) -> str:
    boxes = "; ".join(f"{i}: {', '.join(f'{side:.0f}' for side in face.box)}" for i, face in faces.items())
    return f"got {got}, wanted one; choose by index or box (x0, y0, x1, y1): {boxes}"
