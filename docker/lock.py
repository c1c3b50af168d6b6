"""Print the versions that the images are to have: those installed here, of all that idprefer[api,worker] needs.

`.venv/bin/python docker/lock.py > docker/locked.txt`, after the tests have passed with them.
"""

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_EXTRAS = ("store", "api", "worker")


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    """Yield NAME==VERSION of a distribution and of everything that it needs with these extras."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    there = distribution(name)
    yield f"{name}=={there.version.partition('+')[0]}"  # any local build of it
    for text in there.requires or []:
        wanted = Requirement(text)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield from needed(canonicalize_name(wanted.name), frozenset(wanted.extras), seen)


def main() -> None:
    """Print them, in order; where to begin the project's own file says, not its installed copy."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + [text for extra in _EXTRAS for text in project["optional-dependencies"][extra]]
    pins: set[str] = set()
    for wanted in map(Requirement, texts):
        if wanted.name != "idprefer":
            pins |= set(needed(canonicalize_name(wanted.name), frozenset(wanted.extras), set()))
    sys.stdout.write("# What the tests ran with; written by docker/lock.py.\n")
    sys.stdout.write("".join(f"{pin}\n" for pin in sorted(pins)))


if __name__ == "__main__":
    main()
