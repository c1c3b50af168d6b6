"""Restorations of any tenants as one batch, in which what befalls one leaves the others unharmed."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch

from core.backbone import Backbone
from core.errors import Interrupted, NotFinite
from core.options import RestoreOptions
from core.restoration import NO_PICTURE, PreparedFace, RestoredFace, restore_faces
from worker.memory import named_out_of_memory


class OutOfMemory(Exception):
    """The device has too little memory even for half of the batch."""


@dataclass(eq=False)
class Part:
    """One restoration's faces in a batch."""

    faces: Sequence[PreparedFace]
    stopped: Callable[[], bool]  # whether nobody wants it any more
    restored: list[RestoredFace] = field(default_factory=list)
    failure: Exception | None = None


def restore_parts(
    backbone: Backbone,
    parts: Sequence[Part],
    options: RestoreOptions,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Restore the faces of all parts in one batch and write into each part what came of it.

    Out of memory, the batch is tried once more in halves; where one of several parts breaks it, each is tried alone.
    """
    again = None
    try:
        _run(backbone, parts, options, progress)
    except Interrupted as error:
        _failed(parts, error)
    except (torch.OutOfMemoryError, MemoryError):
        again = _halved
    except Exception as error:  # noqa: BLE001 -- whatever one tenant's photo does is not the other tenants' failure
        if len(parts) == 1:
            _failed(parts, error)
        else:
            again = _one_by_one
    # Not before here: as long as an exception is handled, its traceback keeps the activations of what failed.
    if again is not None:
        again(backbone, parts, options, progress)


def _run(
    backbone: Backbone, parts: Sequence[Part], options: RestoreOptions, progress: Callable[[int, int], None] | None
) -> None:
    faces = [face for part in parts for face in part.faces]

    def nobody_waits() -> bool:
        return sum(part.stopped() for part in parts) == len(parts)  # all are asked: each may have been canceled

    with named_out_of_memory():
        restored = iter(restore_faces(backbone, faces, options, progress=progress, should_stop=nobody_waits))
    for part in parts:
        part.restored = [next(restored) for _ in part.faces]
        if not all(face.evidence.is_picture for face in part.restored):
            part.failure = NotFinite(NO_PICTURE)


def _one_by_one(
    backbone: Backbone, parts: Sequence[Part], options: RestoreOptions, progress: Callable[[int, int], None] | None
) -> None:
    for part in parts:
        restore_parts(backbone, [part], options, progress)


def _halved(
    backbone: Backbone, parts: Sequence[Part], options: RestoreOptions, progress: Callable[[int, int], None] | None
) -> None:
    """Try once more with half of the faces at a time."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    for part in parts:
        part.restored = []
    for half in _halves([(part, face) for part in parts for face in part.faces]):
        pieces = [
            Part([face for _, face in faces], part.stopped) for part, faces in groupby(half, key=lambda pair: pair[0])
        ]
        owners = list(dict.fromkeys(part for part, _ in half))
        try:
            _run(backbone, pieces, options, progress)
        except Interrupted as error:
            _failed(owners, error)
        except (torch.OutOfMemoryError, MemoryError):
            _failed(owners, OutOfMemory(f"got no memory for {len(half)} faces at once, half of what was tried first"))
        except Exception as error:  # noqa: BLE001 -- as above: the other half may still do
            _failed(owners, error)
        for owner, piece in zip(owners, pieces, strict=True):
            owner.restored += piece.restored
            owner.failure = owner.failure or piece.failure


def _halves(pairs: list[tuple[Part, PreparedFace]]) -> Iterator[list[tuple[Part, PreparedFace]]]:
    middle = (len(pairs) + 1) // 2
    yield from (half for half in (pairs[:middle], pairs[middle:]) if half)


def _failed(parts: Sequence[Part], error: Exception) -> None:
    """Write into parts why they failed; the error is kept for a while, and what its frames worked on is let go."""
    told: BaseException | None = error
    while told is not None:
        traceback.clear_frames(told.__traceback__)
        told = told.__cause__ or told.__context__
    for part in parts:
        part.failure = part.failure or error
