"""Files that a command writes: checked before the long work, written whole or not at all; torch-free."""

import os
from pathlib import Path

from core.errors import InvalidOption
from core.images import write_atomically

_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def picture_format(path: Path) -> str:
    """Return the format that a picture's ending asks for."""
    if path.suffix.lower() not in _PICTURES:
        raise InvalidOption(f"got output {path}, wanted a name that ends in {', '.join(_PICTURES)}")
    return _PICTURES[path.suffix.lower()]


def check_writable(path: Path) -> None:
    """InvalidOption where the file could not be written later."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InvalidOption(f"got output {path}, which cannot be written; wanted a file in a folder that can be")


def check_apart(photo: Path, *outputs: Path | None) -> None:
    """InvalidOption where two outputs are one file, or one is the photo, whose original would be gone."""
    given = [path for path in outputs if path is not None]
    for i, path in enumerate(given):
        if _same(path, photo):
            raise InvalidOption(f"got {path} as photo and as output, wanted another output: the original is to be kept")
        if any(_same(path, other) for other in given[:i]):
            raise InvalidOption(f"got {path} as two outputs, wanted a file for each")


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise InvalidOption(f"got output {path}, which cannot be written ({error.strerror}); choose another") from error
