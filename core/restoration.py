"""The main job, and the file to read first: a photo in, the named people in it restored, the same photo out.

    prepare        detect -> match 1:1 to who was named -> align          one photo, any number of people
    restore_faces  sample -> blend with the input -> evidence -> gate     one batch, of any photos and people
    pasted         the differences, back into the photo at its own resolution

Nobody else is restored, and nobody is searched for: `core.matching` compares a person that the caller names with the
faces of this one photo. Outside the masks the pixels are the input's to the bit; a mask is a square about twice as wide
as its face, so that of somebody who stands nearer than that its soft edge covers a part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core.alignment import Change, alignment, box_alignment, crop, paste
from core.backbone import Backbone
from core.blending import blended
from core.colour import colour_shift
from core.errors import FaceTooSmall, IdentityMismatch, NotFinite
from core.evidence import Evidence, complaint, consistency_db, decided
from core.faces import Box, Face
from core.images import Photo
from core.likeness import FaceEmbeddings, doubt, embed, is_strangers, likeness, target_constant
from core.matching import Wish, find_places
from core.options import RestoreOptions
from core.person import Person, Tier
from core.pixels import to_pixels, to_tensor
from core.references import guiding_reference, target_cosine
from core.sampling import FaceCondition, sample

NO_PICTURE = (
    "got a face with numbers that are not finite, wanted a picture; choose another photo, or fetch the bundle again; "
    "personalize the person anew where the gate was off"
)
SMALLEST_FACE = 16  # pixels of the box's shorter side


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
    places = find_places(backbone, photo, wishes)
    return [_prepared(backbone, photo, place, wish) for place, wish in zip(places, wishes, strict=True)]


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
    """Return the photo with the restored faces in it; NotFinite where one is no picture, and no gate has seen to it."""
    if not all(result.evidence.is_picture for result in restored):
        raise NotFinite(NO_PICTURE)
    changes = [Change(result.face.aligned, result.pixels, result.face.matrix) for result in restored]
    return replace(photo, pixels=paste(photo.pixels, changes))


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
        # Who draws a box insists, whether or not a face was found in it; the evidence carries the doubt.
        if wish.box is None and is_strangers(backbone, to_tensor(aligned), alike):
            raise IdentityMismatch(
                f"got a face as unlike the references as a stranger's ({alike:.2f}), wanted the same person "
                "(0 = a stranger, 1 = the same); choose another face, or mark it by a box to insist"
            )
    return PreparedFace(wish, box, matrix, aligned, embeddings, alike)


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
