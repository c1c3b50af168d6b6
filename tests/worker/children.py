"""What the supervisor's children do in tests: importable by name, as a spawned process must."""

import os
import signal
from functools import partial
from pathlib import Path

from worker.bell import Bell


def write_down(folder: Path, bell: Bell) -> None:
    """Write one line for each ring, and a last one when it is time to stop."""
    bell.awake = True
    with (folder / str(os.getpid())).open("a", buffering=1) as file:
        file.write("born\n")
        while not bell.stopped:
            bell.wait(10)
            file.write("stop\n" if bell.stopped else "ring\n")


def die_at_once(folder: Path, _bell: Bell) -> None:
    """Die by the hand of the system, as out of memory."""
    (folder / str(os.getpid())).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def hang(folder: Path, bell: Bell) -> None:
    """Never listen."""
    bell.awake = True
    (folder / str(os.getpid())).touch()
    while True:
        bell.wait(10)


def be_drained(folder: Path, bell: Bell) -> None:
    """Leave as an operator wishes."""
    bell.awake = bell.drained = True
    (folder / str(os.getpid())).touch()


def be_struck_off(folder: Path, bell: Bell) -> None:
    """Leave because the database knows this worker no more."""
    bell.awake = True
    (folder / str(os.getpid())).touch()


def work(kind: str, folder: Path) -> "partial[None]":
    """Return what a child is to do, in a folder."""
    children = (write_down, die_at_once, hang, be_drained, be_struck_off)
    return partial({child.__name__: child for child in children}[kind], folder)
