"""One accelerator for each worker process of a machine: taken by a lock that ends with the process, however it ends.

Containers of one service see the same accelerators; a folder that they share holds one lock for each.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from core.errors import PreferError

_LIST = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")


class NoAcceleratorFree(PreferError):
    """Every accelerator of this machine is another worker's."""

    code = "no_accelerator_free"


def take_one(folder: Path | None) -> str | None:
    """Take an accelerator that nobody has, until this process ends, and let torch see no other; return its id.

    None where no folder is named, or there is no accelerator. To be called before torch looks for one.
    """
    there = _accelerators() if folder is not None else []
    if folder is None or not there:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for accelerator in there:
        handle = os.open(folder / accelerator, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = accelerator  # the handle stays open: so long the lock is held
        return accelerator
    raise NoAcceleratorFree(
        f"got {len(there)} accelerators that other workers of this machine have, wanted one that is free; "
        "start no more workers than there are accelerators"
    )


def _accelerators() -> list[str]:
    if shutil.which(_LIST[0]) is None:
        return []
    listed = subprocess.run(_LIST, capture_output=True, text=True, timeout=60)
    return [line.strip() for line in listed.stdout.splitlines() if line.startswith("GPU-")]
