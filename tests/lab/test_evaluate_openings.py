"""Tests of the seal: sealed people are looked at only on record, at a tagged commit."""

import subprocess
from pathlib import Path

import pytest

from core.errors import InvalidOption
from lab.evaluate.openings import Opening, chosen_people, record, tagged_commit

PEOPLE = ["person_14", "person_15", "person_29", "zoe"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository of one commit."""
    (tmp_path / "file").write_text("as committed")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first")
    return tmp_path


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_groups_of_people() -> None:
    """The sealed are the fifteen of that name; everybody else is there to tune on."""
    assert chosen_people(PEOPLE, "tuning") == ["person_14", "zoe"]
    assert chosen_people(PEOPLE, "sealed") == ["person_15", "person_29"]
    assert chosen_people(PEOPLE, "all") == PEOPLE
    with pytest.raises(InvalidOption, match="wanted one of tuning, sealed, all"):
        chosen_people(PEOPLE, "some")
    with pytest.raises(InvalidOption, match="without sealed people"):
        chosen_people(["zoe"], "sealed")


def test_untagged_commit_is_refused(repository: Path) -> None:
    """A commit without a tag opens nothing; a tagged one is named with its tag."""
    with pytest.raises(InvalidOption, match="without a tag"):
        tagged_commit(repository)
    _git(repository, "tag", "proof-1")
    assert tagged_commit(repository).startswith("proof-1 (")


def test_changed_files_are_refused(repository: Path) -> None:
    """Figures must be of what was committed."""
    _git(repository, "tag", "proof-1")
    (repository / "file").write_text("changed")
    with pytest.raises(InvalidOption, match="got changed files"):
        tagged_commit(repository)


def test_no_repository_is_refused(tmp_path: Path) -> None:
    """Where nothing records a commit, nothing is opened."""
    with pytest.raises(InvalidOption, match="no git repository"):
        tagged_commit(tmp_path)


def test_openings_are_listed(tmp_path: Path) -> None:
    """Every opening has its line; going on with the same one adds none."""
    path = tmp_path / "results" / "openings.md"
    first = Opening("2026-01-01", "proof-1 (abc)", "mini 123", "0f", "main (fast)", "the proof")
    record(first, path)
    record(Opening("2026-01-02", *list(vars(first).values())[1:]), path)
    record(Opening("2026-01-03", "proof-2 (def)", "mini 123", "0f", "main (fast)", "another"), path)
    listed = [line for line in path.read_text().splitlines() if line.startswith("| 2026")]
    assert [line.split("|")[2].strip() for line in listed] == ["proof-1 (abc)", "proof-2 (def)"]
