"""The hunt for what no row knows: half-written files, and what does not let itself be deleted."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from housekeeping import retention
from store.blobs import LocalBlobs
from store.errors import StorageRefused
from tests.housekeeping.conftest import Caretaking
from tests.worker.house import House

_KILLED = """
import os, signal, sys
from pathlib import Path
from store.blobs import LocalBlobs

def pieces():
    yield b"half of it"
    os.kill(os.getpid(), signal.SIGKILL)

LocalBlobs(Path(sys.argv[1])).put("ten_a/idn_b/reference/c", pieces, 20)
"""


@pytest.fixture
def folder(house: House) -> Path:
    """Where the house keeps its objects."""
    assert isinstance(house.safe.blobs, LocalBlobs)
    return house.safe.blobs._folder


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _leave(house: House, *names: str) -> None:
    for name in names:
        house.safe.blobs.put(f"{house.tenant_id}/idn_a/reference/{name}", lambda: [b"x"], 1)


def _grow_old(folder: Path) -> None:
    two_hours_ago = time.time() - 7200
    for path in _files(folder):
        os.utime(path, (two_hours_ago, two_hours_ago))


def test_what_a_killed_process_had_begun_is_deleted(caretaking: Caretaking, folder: Path) -> None:
    """A process that dies while it writes leaves a file without a name; it goes when it is old."""
    subprocess.run([sys.executable, "-c", _KILLED, str(folder)], cwd=Path(__file__).parents[2])
    assert len(list(_files(folder))) == 1
    assert retention.delete_orphans(caretaking.parts) == 0
    _grow_old(folder)
    assert retention.delete_orphans(caretaking.parts) == 1
    assert list(_files(folder)) == []


def test_a_stray_folder_keeps_no_orphan(house: House, caretaking: Caretaking, folder: Path) -> None:
    """What is called like a half-written file and cannot be deleted does not end the hunt."""
    _leave(house, "one")
    (folder / ".partial-of-somebody").mkdir()
    _grow_old(folder)
    os.utime(folder / ".partial-of-somebody", (0, 0))
    assert retention.delete_orphans(caretaking.parts) == 1


def test_a_hunt_ends_when_it_is_told_to(house: House, caretaking: Caretaking, folder: Path) -> None:
    """A caretaker that is to stop looks no further; what is left goes the next time."""
    _leave(house, "one", "two")
    _grow_old(folder)
    stop = threading.Event()
    stop.set()
    assert retention.delete_orphans(caretaking.parts, stop) == 0
    assert retention.delete_orphans(caretaking.parts) == 2


def test_a_stray_file_keeps_no_orphan(house: House, caretaking: Caretaking, folder: Path) -> None:
    """A file that a file system or a desktop has put there stays; what is ours goes."""
    _leave(house, "one", "two")
    stray = folder / house.tenant_id / "idn_a/reference/.nfs0000000000a1"
    stray.write_bytes(b"x")
    _grow_old(folder)
    assert retention.delete_orphans(caretaking.parts) == 2
    assert list(_files(folder)) == [stray]


@pytest.mark.parametrize("error", [PermissionError("not yours"), StorageRefused("got AccessDenied, wanted it done")])
def test_an_object_that_stays_keeps_no_other(
    house: House, caretaking: Caretaking, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Where one orphan cannot be deleted, the others are."""
    _leave(house, "one", "two", "three")
    _grow_old(folder)
    real = house.safe.blobs.delete

    def delete(name: str) -> None:
        if name.endswith("/two"):
            raise error
        real(name)

    monkeypatch.setattr(house.safe.blobs, "delete", delete)
    assert retention.delete_orphans(caretaking.parts) == 2
    assert [path.name for path in _files(folder)] == ["two"]
