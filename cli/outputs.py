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


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise InvalidOption(f"got output {path}, which cannot be written ({error.strerror}); choose another") from error
