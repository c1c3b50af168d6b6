"""The main job, and the file to read first: a photo in, the named people in it restored, the same photo out.

    prepare        detect -> match 1:1 to who was named -> align          one photo, any number of people
    restore_faces  sample -> blend with the input -> evidence -> gate     one batch, of any photos and people
    pasted         the difference, back into the photo at its own resolution

Strangers are never touched, and nobody is searched for: a person that the caller names is compared with the faces of
this one photo. Outside the mask the pixels are the input's to the bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.alignment import alignment, box_alignment, crop, paste
from core.backbone import Backbone
from core.blending import blended
from core.colour import colour_shift
from core.errors import FaceTooSmall, IdentityMismatch, InvalidOption, NoFaceFound, SeveralFaces
from core.evidence import Evidence, complaint, consistency_db, decided
from core.faces import Box, Face, overlap
from core.images import Photo
from core.likeness import FaceEmbeddings, doubt, embed, is_strangers, likeness, target_constant
from core.options import RestoreOptions
from core.person import Person, Tier
from core.references import guiding_reference, target_cosine
from core.sampling import FaceCondition, sample

SMALLEST_FACE = 16  # pixels of the box's shorter side
_SAME_PLACE = 0.3  # intersection over union at which a box given by hand means a face that was found
_CLEAR, _CLEAR_MARGIN = 0.35, 0.2  # likeness of a face chosen among several, and its lead over the next


@dataclass(frozen=True)
class Wish:
    """One face to restore: as whom, and where where that should not be searched."""

    person: Person | None = None  # None: by the base model, as nobody in particular
    face: int | None = None  # counted from 0, largest first
    box: Box | None = None  # x0, y0, x1, y1 in pixels of the upright photo
    seed: int = 0


@dataclass(frozen=True)
class PreparedFace:
    """A face ready for the batch."""

    wish: Wish
    box: Box
    matrix: np.ndarray  # (2, 3): photo -> crop
    aligned: np.ndarray  # (S, S, 3) uint8
    embeddings: FaceEmbeddings  # of the input, one row
    likeness: float | None  # to the person, before; None where there is nobody to compare with

    @property
    def lq(self) -> Tensor:
        """Return the crop (3, S, S) in [-1, 1]."""
        return to_tensor(self.aligned)


@dataclass(frozen=True)
class RestoredFace:
    """A face after the batch."""

    face: PreparedFace
    pixels: np.ndarray  # (S, S, 3) uint8
    evidence: Evidence


def prepare(backbone: Backbone, photo: Photo, wishes: Sequence[Wish]) -> list[PreparedFace]:
    """Find the wished faces in a photo and align them, in the order of the wishes.

    NoFaceFound, SeveralFaces, FaceTooSmall or IdentityMismatch where the photo does not answer a wish.
    """
    found = backbone.detector.detect(photo.pixels)
    places: list[Face | Box | None] = [_given_place(photo, found, wish) for wish in wishes]
    taken = [place for place in places if isinstance(place, Face)]
    _no_face_twice(taken)
    free = [face for face in found if not any(face is other for other in taken)]
    open_wishes = [i for i, place in enumerate(places) if place is None]
    for i, face in _matched(backbone, photo, free, [(i, wishes[i].person) for i in open_wishes]):
        places[i] = face
    return [_prepared(backbone, photo, place, wish) for place, wish in zip(places, wishes, strict=True) if place]


def restore_faces(
    backbone: Backbone,
    faces: Sequence[PreparedFace],
    options: RestoreOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[RestoredFace]:
    """Restore faces of any photos and people in one batch; Interrupted once `should_stop` says so.

    The gate: where a result is less like the person than the input was, or contradicts the input, the base model's is
    taken if that is better; a face that both would ruin is left as it was. The evidence says so.
    """
    restored = _restored(backbone, faces, options, progress, should_stop)
    doubtful = [i for i, result in enumerate(restored) if options.gate and complaint(result.evidence)]
    if doubtful:
        plain = [replace(faces[i], wish=replace(faces[i].wish, person=None)) for i in doubtful]
        people = [faces[i].wish.person for i in doubtful]
        for i, base in zip(doubtful, _restored(backbone, plain, options, None, should_stop, people), strict=True):
            evidence = decided(restored[i].evidence, base.evidence)
            pixels = {"base": base.pixels, "untouched": faces[i].aligned}.get(evidence.tier, restored[i].pixels)
            restored[i] = RestoredFace(faces[i], pixels, evidence)
    return restored


def pasted(photo: Photo, restored: Sequence[RestoredFace]) -> Photo:
    """Return the photo with the restored faces in it."""
    pixels = photo.pixels
    for result in restored:
        pixels = paste(pixels, result.face.aligned, result.pixels, result.face.matrix)
    return replace(photo, pixels=pixels)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Turn pixels (H, W, 3) uint8 into (3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 127.5 - 1


def to_pixels(x: Tensor) -> np.ndarray:
    """Turn x (3, H, W) in [-1, 1] into pixels (H, W, 3) uint8."""
    return ((x + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()


# --- Who is where ---


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
    backbone: Backbone, photo: Photo, free: Sequence[Face], wishes: Sequence[tuple[int, Person | None]]
) -> list[tuple[int, Face]]:
    """Give each open wish its face: the only one there is, or else the one clearly most like the person."""
    if not wishes:
        return []
    if not free:
        raise NoFaceFound(_no_face(photo))
    if len(free) == len(wishes) == 1:
        return [(wishes[0][0], free[0])]
    scores = {}
    for i, person in wishes:
        if person is None or person.identity is None:
            raise SeveralFaces(_choose(free, f"{len(free)} faces and no way to tell whose to restore"))
        scores[i] = likeness(backbone, _embedded(backbone, photo, free), person.identity)
    return _assigned(free, scores)


def _assigned(free: Sequence[Face], scores: dict[int, Tensor]) -> list[tuple[int, Face]]:
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
    return [(i, free[j]) for i, j in assigned.items()]


def _embedded(backbone: Backbone, photo: Photo, faces: Sequence[Face]) -> FaceEmbeddings:
    side = backbone.resolution
    crops = [to_tensor(crop(photo.pixels, alignment(face.landmarks, side), side)) for face in faces]
    return embed(backbone, torch.stack(crops))


def _prepared(backbone: Backbone, photo: Photo, place: Face | Box, wish: Wish) -> PreparedFace:
    """Align one face; FaceTooSmall or IdentityMismatch where it cannot be restored as wished."""
    side, box = backbone.resolution, place.box if isinstance(place, Face) else place
    if (shorter := min(box[2] - box[0], box[3] - box[1])) < SMALLEST_FACE:
        raise FaceTooSmall(f"got a face of {shorter:.0f} px, wanted at least {SMALLEST_FACE} px; use a larger photo")
    matrix = alignment(place.landmarks, side) if isinstance(place, Face) else box_alignment(box, side)
    aligned = crop(photo.pixels, matrix, side)
    embeddings = embed(backbone, to_tensor(aligned)[None])
    alike = None
    if wish.person is not None and wish.person.identity is not None:
        alike = float(likeness(backbone, embeddings, wish.person.identity)[0])
        # A box by hand aligns too roughly to say that somebody is somebody else.
        if isinstance(place, Face) and is_strangers(backbone, to_tensor(aligned), alike):
            raise IdentityMismatch(
                f"got a face as unlike the references as a stranger's ({alike:.2f}), wanted the same person "
                "(0 = a stranger, 1 = the same); choose another face, or mark it by a box to insist"
            )
    return PreparedFace(wish, box, matrix, aligned, embeddings, alike)


def _no_face(photo: Photo) -> str:
    width, height = photo.size
    return (
        f"got a photo of {width}x{height} pixels without a face that could be found, wanted one; mark it by a box "
        "if there is one"
    )


def _choose(faces: Sequence[Face], got: str) -> str:
    boxes = "; ".join(f"{i}: {', '.join(f'{side:.0f}' for side in face.box)}" for i, face in enumerate(faces))
    return f"got {got}, wanted one; choose by index or box (x0, y0, x1, y1): {boxes}"


# --- The batch ---


def _restored(
    backbone: Backbone,
    faces: Sequence[PreparedFace],
    options: RestoreOptions,
    progress: Callable[[int, int], None] | None,
    should_stop: Callable[[], bool] | None,
    judged_as: Sequence[Person | None] | None = None,
) -> list[RestoredFace]:
    """Sample one batch and measure each face; `judged_as` are the people where the faces are restored as nobody."""
    if not faces:
        return []
    lq = torch.stack([face.lq for face in faces])
    conditions = [face_condition(backbone, face, options) for face in faces]
    raw = sample(backbone, lq, conditions, options, progress=progress, should_stop=should_stop).cpu()
    x = blended(backbone, raw, lq, options)
    people = judged_as or [face.wish.person for face in faces]
    after = embed(backbone, x)
    consistency, shift = consistency_db(raw, lq), colour_shift(x, lq)
    results = []
    for i, (face, person) in enumerate(zip(faces, people, strict=True)):
        evidence = Evidence(
            box=face.box,
            seed=face.wish.seed,
            tier=_tier(face.wish.person),
            wanted=_tier(person),
            likeness=face.likeness,
            doubt=doubt(face.likeness),
            similarity_before=_similarity(face.embeddings.second, person),
            similarity_after=_similarity(after.second[i : i + 1], person),
            consistency_db=float(consistency[i]),
            colour_shift=float(shift[i]),
        )
        results.append(RestoredFace(face, to_pixels(x[i]), evidence))
    return results


def face_condition(backbone: Backbone, face: PreparedFace, options: RestoreOptions) -> FaceCondition:
    """Return what the sampler needs to know of a face: prompt, adapter, x_ref and the cosine at which to stop."""
    person, seed = face.wish.person, face.wish.seed
    if person is None:
        return FaceCondition(seed)
    prompt = person.prompt if person.adapter is not None or options.projection else None
    if person.embeddings is None:
        return FaceCondition(seed, prompt, person.adapter)
    embeddings, scores = person.embeddings.first, person.scores
    return FaceCondition(
        seed=seed,
        prompt=prompt,
        adapter=person.adapter,
        reference=guiding_reference(embeddings, scores, face.embeddings.first[0]),
        target=target_cosine(embeddings, scores, target_constant(backbone)),
    )


def _tier(person: Person | None) -> Tier:
    return "base" if person is None else person.tier


def _similarity(second: Tensor, person: Person | None) -> float | None:
    """Return the second recognizer's cosine of a face (1, D2) and a person; None where either is missing."""
    if person is None or person.identity is None or not second.shape[-1] or not person.identity.second.shape[-1]:
        return None
    return float(second[0] @ person.identity.second[0])
