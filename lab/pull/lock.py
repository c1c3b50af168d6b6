"""The lock file: which revision of which repository a bundle came from, and every file's SHA-256.

The first pull writes it as it goes, from what it really received; nothing in it is known beforehand. Kept with the
deployment, it makes every later pull give the same bytes or fail.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core.images import write_atomically
from lab.pull.errors import LockMismatch
from lab.pull.recipes import Recipe


@dataclass
class LockedComponent:
    """One repository at one revision."""

    repository: str
    revision: str  # a commit's full hash
    licence: str
    files: dict[str, str] = field(default_factory=dict)  # path in the bundle -> SHA-256, once it was received


@dataclass
class Lock:
    """All of a bundle's repositories, by component."""

    bundle: str
    components: dict[str, LockedComponent]

    def write(self, path: Path) -> None:
        """Write the file whole or not at all."""
        write_atomically(path, (json.dumps(asdict(self), indent=2) + "\n").encode())


def read_lock(path: Path, recipe: Recipe) -> Lock:
    """Return the lock file's content, or an empty lock where there is none yet; LockMismatch for another bundle's."""
    if not path.exists():
        return Lock(recipe.name, {})
    try:
        stored = json.loads(path.read_text())
        components = {name: LockedComponent(**values) for name, values in stored["components"].items()}
        lock = Lock(stored["bundle"], components)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LockMismatch(f"{path} is no lock file ({error}); restore it, or remove it to start anew") from error
    if lock.bundle != recipe.name:
        raise LockMismatch(f"{path} is the lock of bundle {lock.bundle!r}, wanted one of {recipe.name!r}")
    for component in recipe.components:
        locked = lock.components.get(component.name)
        if locked is not None and locked.repository != component.repository:
            raise LockMismatch(
                f"{path} has {component.name} from {locked.repository}, got {component.repository}; pull into another "
                "folder, with a lock of its own"
            )
    return lock
