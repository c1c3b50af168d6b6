"""Tests of mixed batches: what befalls one restoration leaves the others unharmed."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from core.backbone import Backbone
from core.errors import Interrupted, NotFinite
from core.matching import Wish
from core.options import RestoreOptions
from core.restoration import PreparedFace, RestoredFace, prepare
from core.restoration import restore_faces as restore_for_real
from tests.worker.house import photo
from worker import batches
from worker.batches import OutOfMemory, Part, restore_parts

OPTIONS = RestoreOptions(steps=2, guidance=False)


def part(backbone: Backbone, seed: int, stopped: Callable[[], bool] = lambda: False) -> Part:
    """Return one photo's face as a part of a batch."""
    return Part(prepare(backbone, photo(seed), [Wish(seed=seed)]), stopped)


@pytest.fixture
def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that run meanwhile."""
    sizes: list[int] = []

    def counted(backbone: Backbone, faces: Sequence[PreparedFace], *args: Any, **kwargs: Any) -> list[RestoredFace]:
        sizes.append(len(faces))
        return restore_for_real(backbone, faces, *args, **kwargs)

    monkeypatch.setattr(batches, "restore_faces", counted)
    return sizes


def test_all_in_one(backbone: Backbone, batch_sizes: list[int]) -> None:
    """Several restorations are one batch, and each gets the face that it would have got alone."""
    parts = [part(backbone, seed) for seed in (1, 2, 3)]
    restore_parts(backbone, parts, OPTIONS)
    alone = part(backbone, 2)
    restore_parts(backbone, [alone], OPTIONS)
    assert batch_sizes == [3, 1]
    assert all(len(each.restored) == 1 and each.failure is None for each in parts)
    difference = parts[1].restored[0].pixels.astype(int) - alone.restored[0].pixels
    assert np.abs(difference).max() <= 2


def test_one_that_is_not_wanted_any_more(backbone: Backbone, batch_sizes: list[int]) -> None:
    """A batch goes on as long as somebody waits for it, and stops when nobody does."""
    wanted, unwanted = part(backbone, 1), part(backbone, 2, stopped=lambda: True)
    restore_parts(backbone, [wanted, unwanted], OPTIONS)
    assert wanted.failure is None
    restore_parts(backbone, [unwanted], OPTIONS)
    assert isinstance(unwanted.failure, Interrupted)


def broken(monkeypatch: pytest.MonkeyPatch, breaks: Callable[[list[int]], Exception | None]) -> list[list[int]]:
    """Let batches of certain seeds fail; returns the batches that were tried, by their seeds."""
    tried: list[list[int]] = []

    def run(backbone: Backbone, faces: Sequence[PreparedFace], *args: Any, **kwargs: Any) -> list[RestoredFace]:
        seeds = [face.wish.seed for face in faces]
        tried.append(seeds)
        if error := breaks(seeds):
            raise error
        return restore_for_real(backbone, faces, *args, **kwargs)

    monkeypatch.setattr(batches, "restore_faces", run)
    return tried


def test_one_that_breaks_the_batch(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one breaks the batch, each is tried alone, and only that one fails."""
    tried = broken(monkeypatch, lambda seeds: ValueError("a bad face") if 2 in seeds else None)
    parts = [part(backbone, seed) for seed in (1, 2, 3)]
    restore_parts(backbone, parts, OPTIONS)
    assert tried == [[1, 2, 3], [1], [2], [3]]
    assert [each.failure is None for each in parts] == [True, False, True]


def test_out_of_memory(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory, the batch is tried once more in halves."""
    tried = broken(monkeypatch, lambda seeds: torch.OutOfMemoryError("full") if len(seeds) > 2 else None)
    parts = [part(backbone, seed) for seed in (1, 2, 3)]
    restore_parts(backbone, parts, OPTIONS)
    assert tried == [[1, 2, 3], [1, 2], [3]]
    assert all(each.failure is None and len(each.restored) == 1 for each in parts)


def test_out_of_memory_for_good(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half that does not fit either is a clear failure; the other half still succeeds."""
    tried = broken(monkeypatch, lambda seeds: torch.OutOfMemoryError("full") if 1 in seeds else None)
    parts = [part(backbone, seed) for seed in (1, 2)]
    restore_parts(backbone, parts, OPTIONS)
    assert tried == [[1, 2], [1], [2]]
    assert isinstance(parts[0].failure, OutOfMemory)
    assert parts[1].failure is None


@pytest.mark.parametrize("error", [MemoryError("full"), ValueError("a bad face")])
def test_what_failed_is_let_go_of_first(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """When a batch is tried anew, whatever the failed one held is free again."""
    held: list[weakref.ref[torch.Tensor]] = []

    def run(_: Backbone, faces: Sequence[PreparedFace], *args: Any, **kwargs: Any) -> list[RestoredFace]:
        assert all(each() is None for each in held)
        activations = torch.zeros(len(faces))
        held.append(weakref.ref(activations))
        raise type(error)(*error.args)

    monkeypatch.setattr(batches, "restore_faces", run)
    parts = [part(backbone, seed) for seed in (1, 2)]
    restore_parts(backbone, parts, OPTIONS)
    assert len(held) == 3
    assert all(each.failure is not None and not isinstance(each.failure, AssertionError) for each in parts)


def test_a_result_that_is_no_number(backbone: Backbone) -> None:
    """A face that comes out as no picture fails by itself; its neighbour is restored."""
    bad = part(backbone, 1)
    good = part(backbone, 2)
    poisoned = Part([_nan_face(bad.faces[0])], lambda: False)
    restore_parts(backbone, [poisoned, good], OPTIONS)
    assert isinstance(poisoned.failure, NotFinite)
    assert good.failure is None


class _NanFace(PreparedFace):
    """A face whose crop holds no numbers."""

    @property
    def lq(self) -> torch.Tensor:
        """Return a crop that no photo could give."""
        return torch.full((3, 128, 128), float("nan"))


def _nan_face(face: PreparedFace) -> PreparedFace:
    return _NanFace(face.wish, face.box, face.matrix, face.aligned, face.embeddings, face.likeness)
