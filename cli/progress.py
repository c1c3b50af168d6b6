"""Progress bars on stderr, so that what goes to stdout stays clean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:  # a service's training has a bar too, and needs no torch for it
    from core.training import TrainProgress


@contextmanager
def training_bar(steps: int) -> Iterator[Callable[["TrainProgress"], None]]:
    """Show step, loss, held-out ID and the time left of a training."""
    with _bar("loss {task.fields[loss]}", "held-out ID {task.fields[identity]}") as bar:
        task = bar.add_task("learning", total=steps, loss="-", identity="-")

        def report(done: "TrainProgress") -> None:
            identity = "-" if done.held_out_identity is None else f"{done.held_out_identity:.3f}"
            bar.update(task, completed=done.step, loss=f"{done.loss:.4f}", identity=identity)

        yield report


@contextmanager
def step_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show steps done, steps in all, and the time left."""
    with _bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, steps: bar.update(task, completed=done, total=steps)


def _bar(*fields: str) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *(TextColumn(field) for field in fields),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,  # a log wants no bar
    )
