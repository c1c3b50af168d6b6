"""A worker process as an operator wants it; importable by name, as a spawned process must be. Torch-free."""

import importlib.util
import json
from dataclasses import dataclass
from functools import partial

from cli import logs
from cli.folders import find_bundle
from core.errors import InvalidOption, MissingBundle
from store.settings import Settings
from worker.accelerators import take_one
from worker.bell import Bell
from worker.options import WorkerOptions


@dataclass(frozen=True)
class Choices:
    """What a person chose for the workers."""

    bundle: str | None = None  # None: what the settings say
    device: str = "auto"
    batch: int = 8
    cache_megabytes: int = 1024
    threads: int | None = None  # None: what the settings say


def worker_options(settings: Settings, choices: Choices, idle_seconds: float = 1.0) -> WorkerOptions:
    """Return the options of a worker; MissingBundle where there is no such bundle."""
    folder = find_bundle(choices.bundle or settings.bundle).resolve()
    if not json.loads((folder / "bundle.json").read_text()).get("weights", True):
        raise MissingBundle(f"got bundle {folder.name!r}, which has shapes but no weights; wanted one that can restore")
    if settings.content_credentials and importlib.util.find_spec("c2pa") is None:
        raise InvalidOption(
            "got IDPREFER_CONTENT_CREDENTIALS without c2pa-python, wanted both or neither; install the extra c2pa"
        )
    return WorkerOptions(
        bundle=folder,
        device=choices.device,
        threads=choices.threads or settings.threads,
        batch=choices.batch,
        cache_bytes=choices.cache_megabytes << 20,
        content_credentials=settings.content_credentials,
        idle_seconds=idle_seconds,
    )


def work(settings: Settings, options: WorkerOptions) -> "partial[None]":
    """Return what a worker process does, given its bell."""
    return partial(_work, settings, options)


def _work(settings: Settings, options: WorkerOptions, bell: Bell) -> None:
    logs.set_up(settings)
    take_one(settings.accelerator_locks)
    from worker import process  # here: whoever only names this function need not load torch

    process.work(settings, options, bell)
