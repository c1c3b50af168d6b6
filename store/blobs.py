"""Blobs: sealed bytes under unguessable names, on local disk or behind any S3 API.

Names look like `tenant/owner/kind/object`. A blob is never changed once it is written; a new one has a new name.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from store.errors import InvalidRequest, MissingBlob, StorageDown

log = structlog.get_logger(__name__)
CHUNK_BYTES = 2**18
Pieces = Callable[[], Iterable[bytes]]
"""Yields an object's bytes from the beginning, as often as it is called: what fails in passing is tried again."""
_PARTIAL = ".partial-"
"""What the name of a file that is being written begins with, and no object's does."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True)
class Stored:
    """One object that is there."""

    name: str
    size: int
    modified_at: datetime


class Blobs(Protocol):
    """A place for bytes; every implementation passes tests/store/test_blobs.py."""

    def put(self, name: str, pieces: Pieces, size: int) -> None:
        """Write an object of `size` bytes, whole or not at all; StorageDown where that cannot be done."""

    def get(self, name: str) -> Iterator[bytes]:
        """Yield an object's bytes; MissingBlob where there is none."""

    def delete(self, name: str) -> None:
        """Delete an object; that there is none is fine."""

    def list(self, prefix: str) -> Iterator[Stored]:
        """Yield the objects whose names begin with a prefix; what is no name of ours is nobody's object."""

    def delete_unfinished(self, before: datetime) -> int:
        """Delete what writers that died left half written, untouched since a moment; return how much there was."""

    def ready(self) -> bool:
        """Whether the place is there."""

    def prepare(self) -> None:
        """Make the place; that it is there is fine."""


def check_name(name: str) -> str:
    """Return the name; InvalidRequest for one that could lead elsewhere."""
    if not is_name(name):
        raise InvalidRequest(
            f"got the object name {name[:100]!r}, wanted parts of letters, digits, _ . - between slashes"
        )
    return name


def is_name(name: str) -> bool:
    """Whether an object of ours could have this name: what a system leaves there (.nfs0001, .DS_Store) does not."""
    return _NAME.fullmatch(name) is not None and ".." not in name and len(name) <= 500


class LocalBlobs:
    """Files in a folder: written beside, synced, then renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.prepare()

    def put(self, name: str, pieces: Pieces, size: int) -> None:
        """Write the file; a crash leaves nothing under its name."""
        path = self._path(name)
        try:
            handle, partial = tempfile.mkstemp(dir=self._folder, prefix=_PARTIAL)
            try:
                _write(handle, pieces())
                _move(Path(partial), path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageDown(
                f"got {error.strerror} while writing, wanted room for {size:,} bytes; free some"
            ) from error

    def get(self, name: str) -> Iterator[bytes]:
        """Yield the file's bytes."""
        try:
            file = self._path(name).open("rb")
        except FileNotFoundError:
            raise missing(name) from None
        with file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def delete(self, name: str) -> None:
        """Remove the file, and the folders it leaves empty."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        with suppress(OSError):
            for folder in path.parents:
                if folder == self._folder:
                    break
                folder.rmdir()

    def list(self, prefix: str) -> Iterator[Stored]:
        """Yield the files whose names begin so, in order."""
        folder = self._folder / prefix.rpartition("/")[0] if prefix else self._folder
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if not path.is_file() or not is_name(name) or not name.startswith(prefix):
                continue
            with suppress(FileNotFoundError):
                status = path.stat()
                yield Stored(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def delete_unfinished(self, before: datetime) -> int:
        """Delete the files that were never given their names."""
        count = 0
        for path in self._folder.glob(f"{_PARTIAL}*"):
            try:
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()
                    count += 1
            except FileNotFoundError:  # it has just been given one
                continue
            except OSError as error:  # a stray folder of such a name, say, is no reason for the others to stay
                log.warning("unfinished_not_deleted", file=path.name, error=f"{type(error).__name__}: {error}")
        return count

    def ready(self) -> bool:
        """Whether the folder can be written to."""
        return os.access(self._folder, os.W_OK)

    def prepare(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _path(self, name: str) -> Path:
        return self._folder / check_name(name)


def missing(name: str) -> MissingBlob:
    """Return the error for a name without an object; clients read it, so the name goes into the log only."""
    log.warning("object_missing", object=name)
    return MissingBlob("got something whose bytes are gone: there is no object of that name; wanted one that is there")


def _write(handle: int, chunks: Iterable[bytes]) -> None:
    with os.fdopen(handle, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _move(partial: Path, path: Path) -> None:
    """Give a whole file its name; a folder that is deleted just then, because it was empty, is made anew."""
    for _ in range(10):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            partial.replace(path)
            _sync_folder(path.parent)
            return
    raise FileNotFoundError(2, "a folder that keeps vanishing", str(path))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
