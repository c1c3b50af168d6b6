"""`idprefer pretrain`: one stage of a bundle, and its held-out figures."""

from dataclasses import dataclass
from pathlib import Path

from cli.bundles import device_name
from cli.console import plain_console
from core.errors import InvalidOption
from lab.pretrain.run import DEFAULTS, pretrain, with_changes


@dataclass(frozen=True)
class Choices:
    """What the command line asks for; None leaves a stage's own default."""

    stage: str
    data: Path  # folder of faces
    bundle: Path  # folder of the bundle being made
    work: Path  # folder of checkpoints, loss curves and caches
    steps: int | None
    batch_size: int | None
    learning_rate: float | None
    seed: int
    device: str
    start: Path | None
    small_card: bool = False  # less memory, for `controlnet`


def run(choices: Choices) -> None:
    """Train one stage, or go on with it, and print its held-out figures."""
    if choices.stage not in DEFAULTS:
        raise InvalidOption(f"got stage {choices.stage!r}, wanted one of {', '.join([*DEFAULTS, 'controlnet'])}")
    if not (choices.data / "photos.json").is_file():
        raise InvalidOption(f"got --data {choices.data}, which has no photos.json; wanted a folder of faces")
    if choices.start is not None and choices.stage != "backbone":
        raise InvalidOption(f"got --start for stage {choices.stage!r}, wanted it for 'backbone' alone")
    options = with_changes(
        choices.stage,
        steps=choices.steps,
        batch_size=choices.batch_size,
        learning_rate=choices.learning_rate,
        seed=choices.seed,
        device=device_name(choices.device),
        start=choices.start,
    )
    figures = pretrain(choices.stage, choices.data, choices.bundle, choices.work, options)
    for name, value in figures.items():
        plain_console().print(f"{name} {value:.4f}")
