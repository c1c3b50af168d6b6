"""A run's tensors on disk with the number of steps done: written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_run(path: Path, tensors: Mapping[str, Tensor], steps: int) -> None:
    """Write a checkpoint in the place of the one before."""
    partial = path.with_suffix(".partial")
    save_file(dict(tensors), partial, metadata={"steps": str(steps)})
    partial.replace(path)


def saved_run(path: Path) -> tuple[dict[str, Tensor], int] | None:
    """Return a checkpoint's tensors and the number of steps done, or None where there is none."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
        return tensors, int(file.metadata()["steps"])
