"""A worker process as an operator wants it; importable by name, as a spawned process must be. Torch-free."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cli import logs
from cli.folders import find_bundle
from store.settings import Settings
from worker.bell import Bell
from worker.options import WorkerOptions


@dataclass(frozen=True)
class Choices:
    """What a person chose for the workers."""

    bundle: str | None = None  # None: what the settings say
    device: str = "auto"
    batch: int = 8
    cache_megabytes: int = 1024


def worker_options(settings: Settings, choices: Choices, idle_seconds: float = 1.0) -> WorkerOptions:
    """Return the options of a worker; MissingBundle where there is no such bundle."""
    return WorkerOptions(
        bundle=Path(find_bundle(choices.bundle or settings.bundle)).resolve(),
        device=choices.device,
        batch=choices.batch,
        cache_bytes=choices.cache_megabytes << 20,
        idle_seconds=idle_seconds,
    )


def work(settings: Settings, options: WorkerOptions) -> "partial[None]":
    """Return what a worker process does, given its bell."""
    return partial(_work, settings, options)


def _work(settings: Settings, options: WorkerOptions, bell: Bell) -> None:
    from worker import process  # here: whoever only names this function need not load torch

    logs.set_up(settings)
    process.work(settings, options, bell)
