"""An evaluation's pictures made by several processes, each for people of its own: for machines of many cores.

One small network cannot use many cores. Where two cores are one core's two threads, little is gained.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import torch

from core.backbone import Backbone
from lab.evaluate.people import EvaluatedPerson
from lab.evaluate.restoring import Report, Studio
from lab.evaluate.rows import Table
from lab.evaluate.run import rows_of

Prepared = tuple[Backbone, Sequence[Table], Sequence[EvaluatedPerson]]
_LOOK_SECONDS = 1.0  # how often it is looked whether the processes still run


def make_in_shares(prepare: Callable[[], Prepared], folder: Path, shares: int, report: Report) -> None:
    """Make all pictures of an evaluation; `prepare`, a function of a module, is called in each process.

    What a process that died did not make is left to whoever asks for it next.
    """
    context = multiprocessing.get_context("spawn")
    told: Queue[tuple[str, int]] = context.Queue()
    processes = [
        context.Process(target=_make_share, args=(prepare, folder, number, shares, told), daemon=True)
        for number in range(shares)
    ]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes) or not told.empty():
        try:
            report(*told.get(timeout=_LOOK_SECONDS))
        except Empty:
            continue


def _make_share(
    prepare: Callable[[], Prepared], folder: Path, number: int, shares: int, told: "Queue[tuple[str, int]]"
) -> None:
    """Make the pictures of every `shares`-th person."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // shares))
    backbone, tables, people = prepare()
    studio = Studio(backbone, folder, lambda what, faces: told.put((what, faces)))
    for i in range(number, len(people), shares):
        for table in tables:
            for row in rows_of(table, people):
                studio.pictures(row, people[i], people[(i + 1) % len(people)], table.inputs)
