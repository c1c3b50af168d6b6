"""The sealed people: who they are, and the list of every time they were looked at."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import InvalidOption

SEALED = frozenset(f"person_{number:02d}" for number in range(15, 30))
GROUPS = ("tuning", "sealed", "all")
_HEADING = """# Openings of the sealed people

person_15 to person_29 measure; nothing is tuned on them. Every run that looked at them is listed here, with the commit
it ran at, by the command itself.

| date | commit | bundle | manifest | protocols | why |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Opening:
    """One time that the sealed people were looked at."""

    date: str
    commit: str  # with its tag
    bundle: str
    manifest: str
    protocols: str
    why: str

    def row(self) -> str:
        """Return the line of the list."""
        return f"| {self.date} | {self.commit} | {self.bundle} | {self.manifest} | {self.protocols} | {self.why} |\n"


def chosen_people(people: Iterable[str], group: str) -> list[str]:
    """Return who of a dataset belongs to a group; whoever is not sealed is there to tune on."""
    if group not in GROUPS:
        raise InvalidOption(f"got people {group!r}, wanted one of {', '.join(GROUPS)}")
    wanted = {"tuning": lambda p: p not in SEALED, "sealed": lambda p: p in SEALED, "all": lambda p: True}[group]
    chosen = sorted(person for person in people if wanted(person))
    if not chosen:
        raise InvalidOption(f"got a dataset without {group} people, wanted at least one")
    return chosen


def tagged_commit(root: Path) -> str:
    """Return the tag and commit of a repository; InvalidOption where files are changed or no tag stands here."""
    if changed := _git(root, "status", "--porcelain", "--untracked-files=no"):
        raise InvalidOption(f"got changed files ({changed.splitlines()[0].strip()} ...), wanted a clean tagged commit")
    tag = _git(root, "tag", "--points-at", "HEAD").splitlines()
    if not tag:
        raise InvalidOption("got a commit without a tag, wanted a tagged one: sealed people are opened once, on record")
    return f"{tag[0]} ({_git(root, 'rev-parse', '--short=12', 'HEAD')})"


def record(opening: Opening, path: Path) -> None:
    """Add an opening to the list; the very same one that is only gone on with is not listed twice."""
    text = path.read_text() if path.exists() else _HEADING
    same = opening.row().split("|", 2)[2]  # all but the date
    if same not in text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + opening.row())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode != 0:
        raise InvalidOption(f"got {root}, which is no git repository; wanted one whose commit can be recorded")
    return done.stdout.strip()
