"""A job for which there is no memory fails as that; the worker lives, and its next job succeeds."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.house import Darkroom, House, at_work, build
from worker import batches

PETABYTES = 2**55


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An installation."""
    with closing(build(tmp_path)) as made:
        yield made


@pytest.fixture
def room(house: House, tiny_folder: Path) -> Iterator[Darkroom]:
    """A worker for it."""
    with at_work(house, tiny_folder) as made:
        yield made


def test_the_next_job_succeeds(house: House, room: Darkroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restoration that wants more memory than there is ends as out_of_memory, retryable; the next one is done."""
    identity_id = house.identity()
    house.reference(identity_id, 1)
    room.work()
    too_much = house.restoration(identity_id)
    with monkeypatch.context() as patch:
        patch.setattr(batches, "restore_faces", greedy)
        room.work()
    job = house.job_of(too_much)
    assert (job.state, job.error["code"], job.error["retryable"]) == ("failed", "out_of_memory", True)
    next_one = house.restoration(identity_id)
    room.work()
    assert house.job_of(next_one).state == "succeeded"


def greedy(*_: Any, **__: Any) -> Any:
    """Ask torch, in earnest, for more memory than any machine has."""
    return [torch.empty(PETABYTES)]
