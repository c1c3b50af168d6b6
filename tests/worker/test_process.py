"""Tests of how a worker process is put together."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.worker.house import House, options_for
from worker.bell import Bell
from worker.process import parts_of


@pytest.fixture(autouse=True)
def same_threads_as_before() -> Iterator[None]:
    """Leave this process as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("torch_takes", "chosen", "wanted"), [(4, None, 3), (1, None, 1), (4, 2, 2), (2, 8, 8)])
def test_a_core_is_left_to_others(
    house: House, tiny_folder: Path, torch_takes: int, chosen: int | None, wanted: int
) -> None:
    """A worker computes with one thread less than torch would, and at least one, unless it is told how many."""
    torch.set_num_threads(torch_takes)
    parts_of(house.settings, options_for(tiny_folder, threads=chosen), Bell()).database.close()
    assert torch.get_num_threads() == wanted
