"""An evaluation's pictures made by several processes, a person at a time: for machines of many cores.

One small network cannot use many cores. Each process loads a bundle of its own, and the seconds that it measures are
those of a busy machine.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch

from core.backbone import Backbone
from lab.evaluate.people import EvaluatedPerson
from lab.evaluate.restoring import Report, Studio
from lab.evaluate.rows import Table
from lab.evaluate.run import face_count, pictures_of


@dataclass(frozen=True)
class Prepared:
    """What a process needs to make pictures."""

    backbone: Backbone
    tables: Sequence[Table]
    people: Sequence[EvaluatedPerson]


_mine: tuple[Prepared, Studio] | None = None  # of this process


def make_in_shares(prepare: Callable[[], Prepared], people: int, folder: Path, processes: int, report: Report) -> None:
    """Make all pictures of an evaluation; `prepare`, a module's function, is called once in each process.

    What goes wrong in one of them is raised here, BrokenProcessPool where one was killed; what was made is kept.
    """
    processes = min(processes, people)
    threads = max(1, torch.get_num_threads() // processes)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _open, (prepare, folder, threads)) as pool:
        for done in as_completed([pool.submit(_make, person) for person in range(people)]):
            report(*done.result())


def _open(prepare: Callable[[], Prepared], folder: Path, threads: int) -> None:
    global _mine
    torch.set_num_threads(threads)
    prepared = prepare()
    _mine = prepared, Studio(prepared.backbone, folder)


def _make(number: int) -> tuple[str, int]:
    """Make every picture of a person; returns the name, and how many there are."""
    assert _mine is not None
    prepared, studio = _mine
    for table in prepared.tables:
        for _ in pictures_of(studio, table, prepared.people, number):
            pass
    person = prepared.people[number]
    return person.name, face_count(prepared.tables, [person])
