"""`idprefer personalize`: reference photos in, an adapter out; Ctrl-C leaves a checkpoint to go on from."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer

from cli.bundles import load
from cli.console import plain_console
from cli.folders import photos_in
from cli.outputs import check_writable, write
from cli.progress import training_bar
from cli.references import print_table, read_references, usable_references
from core.adapter_file import pack_adapter
from core.backbone import Backbone
from core.errors import InvalidOption
from core.injector import Adapter
from core.options import TrainOptions
from core.references import Reference
from core.train_state import TrainState, pack_state, unpack_state
from core.training import TrainingInterrupted, train_injector

_ENDING = ".safetensors"
_INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


@dataclass(frozen=True)
class Choices:
    """What the command line asks for."""

    preset: str
    bundle: str
    seed: int
    resume: bool


def run(folder: Path, output: Path, choices: Choices) -> None:
    """Learn the person in a folder of photos and write the adapter."""
    options = TrainOptions.preset(choices.preset, seed=choices.seed)
    if output.suffix != _ENDING:
        raise InvalidOption(f"got output {output}, wanted a name that ends in {_ENDING}")
    check_writable(output)
    state = _checkpoint(output) if choices.resume else None
    if state is None and (left := checkpoint_path(output)).exists():
        typer.echo(f"{left} of a training that was cut short gives way to a new one; --resume would go on", err=True)
    photos = photos_in(folder)
    backbone = load(choices.bundle)
    verdicts = read_references(backbone, photos)
    console = plain_console()
    print_table(verdicts, console)
    references = usable_references(verdicts, folder)
    adapter = learn(backbone, references, options, output, state)
    console.print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB){_how_alike(adapter)}")


def learn(
    backbone: Backbone,
    references: Sequence[Reference],
    options: TrainOptions,
    output: Path,
    state: TrainState | None,
    advice: str = "the same command with --resume goes on",
) -> Adapter:
    """Train under a progress bar and write the adapter; typer.Exit after Ctrl-C, with a checkpoint beside it."""
    checkpoint = checkpoint_path(output)

    def keep(state: TrainState) -> None:
        write(checkpoint, pack_state(state))

    def keep_meanwhile(state: TrainState) -> None:
        try:
            keep(state)
        except InvalidOption as error:  # a full disk may have room for the adapter, which is a tenth of that
            typer.echo(f"no checkpoint was written: {error}; the training goes on", err=True)

    try:
        with _stoppable() as should_stop, training_bar(options.steps) as report:
            adapter = train_injector(
                backbone,
                references,
                options,
                progress=report,
                resume=state,
                should_stop=should_stop,
                keep=keep_meanwhile,
            )
    except TrainingInterrupted as stopped:
        keep(stopped.state)
        typer.echo(f"stopped after step {stopped.state.step} of {options.steps}; {advice}")
        raise typer.Exit(_INTERRUPTED) from None
    write(output, pack_adapter(adapter))
    checkpoint.unlink(missing_ok=True)
    return adapter


def checkpoint_path(output: Path) -> Path:
    """Return where the checkpoint of an adapter in the making lies: beside it."""
    return output.with_suffix(f".checkpoint{_ENDING}")


def _checkpoint(output: Path) -> TrainState:
    path = checkpoint_path(output)
    if not path.is_file():
        raise InvalidOption(f"got --resume, but there is no {path}; leave --resume out to start anew")
    try:
        return unpack_state(path.read_bytes())
    except InvalidOption as error:
        raise InvalidOption(f"{path}: {error} (without --resume)") from error


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C, or a request to end, has come; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _how_alike(adapter: Adapter) -> str:
    training = adapter.metadata["training"]
    if training["held_out_identity"] is None:
        return ""
    return f"; held-out ID {training['held_out_identity']:.3f} at step {training['kept_step']}"
