"""Strangers' image bytes, decoded in a child process with little memory and little time: a bomb takes down only that.

The parent sends bytes and gets upright, lossless PNG back, without metadata; it never runs a codec on what a stranger
sent. A child that overruns is killed and replaced.
"""

import contextlib
import hashlib
import io
import json
import queue
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import ImageTooLarge, PreferError, UnreadableImage
from core.photo_limits import MAX_BYTES, MAX_PIXELS

_MEMORY_BYTES = 1 << 30  # of a child's address space: a photo of 40 megapixels takes 0.8 GB on its way
_SECONDS = 20.0
_ERRORS: dict[str, type[PreferError]] = {error.code: error for error in (UnreadableImage, ImageTooLarge)}
_LENGTH = struct.Struct("<Q")
_PIECE = 1 << 18
_ABOUT_BYTES = 1 << 16  # what a child may say of a photo
_PNG_BYTES = 4 * MAX_PIXELS  # RGB that cannot be packed, with its colour profile
# What a child raises here that is killed, runs out of memory, or was taken over and answers nonsense.
_LOST = (OSError, struct.error, ValueError, TypeError, KeyError, RecursionError, MemoryError)


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo that is safe to open anywhere: upright, one picture, no metadata but its colour profile."""

    png: bytes
    width: int
    height: int
    pixels_sha256: str  # over shape and pixels: by it a result is known again
    manifest: str | None  # the token in its XMP packet that may be a manifest of ours, as a stranger sent it


class Decoder:
    """A few children that decode, each one photo at a time; started when first needed."""

    def __init__(self, children: int = 2, seconds: float = _SECONDS) -> None:
        self.children = children
        self._seconds = seconds
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(children):
            self._idle.put(None)

    def decode(self, data: bytes) -> DecodedPhoto:
        """Decode bytes of JPEG, PNG, WebP or HEIC; UnreadableImage or ImageTooLarge says what is wrong with them."""
        return self.decode_file(io.BytesIO(data), len(data))

    def decode_file(self, file: IO[bytes], size: int) -> DecodedPhoto:
        """Decode the next `size` bytes of a file, which are handed on piece by piece and never held here."""
        if size > MAX_BYTES:
            raise ImageTooLarge(f"got an image of {size:,} bytes, wanted at most {MAX_BYTES:,}; make it smaller")
        child = self._idle.get()
        alive: _Child | None = None
        try:
            child = child or _Child()
            answer = child.ask(file, size, self._seconds)
            alive = child
        except _LOST:
            raise UnreadableImage(
                f"got an image that took more than {self._seconds:g} seconds or {_MEMORY_BYTES >> 20} MB to decode; "
                "wanted an ordinary photo; save it anew with another program"
            ) from None
        finally:
            if alive is None and child is not None:
                child.kill()
            self._idle.put(alive)
        if isinstance(answer, PreferError):
            raise answer
        return answer

    def close(self) -> None:
        """End the children that are idle."""
        for child in [self._idle.get() for _ in range(self._idle.qsize())]:
            if child is not None:
                child.kill()
            self._idle.put(None)


class _Child:
    """One process that decodes, and its two pipes."""

    def __init__(self) -> None:
        # Without our environment: it may hold secrets, and the child is what a stranger's bytes may take over.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.decoder"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True,
            cwd=Path(__file__).parents[1], env={"OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip

    def ask(self, file: IO[bytes], size: int, seconds: float) -> DecodedPhoto | PreferError:
        """Return what the child makes of a photo, or why nothing; one of _LOST where that cannot be used."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        overdue = threading.Timer(seconds, self._process.kill)
        overdue.start()
        try:
            self._process.stdin.write(_LENGTH.pack(size))
            shutil.copyfileobj(file, self._process.stdin, _PIECE)
            self._process.stdin.flush()
            about = _read(self._process.stdout, _ABOUT_BYTES)
            return _understood(json.loads(about), _read(self._process.stdout, _PNG_BYTES))
        finally:
            overdue.cancel()

    def kill(self) -> None:
        """End the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)


def main() -> None:
    """Decode what comes in on stdin until it ends: the child's side."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, and with it this ends
    while True:
        try:
            data = _read(sys.stdin.buffer, MAX_BYTES)
        except struct.error:
            return
        about, png = _decoded(data)
        _write(sys.stdout.buffer, json.dumps(about).encode())
        _write(sys.stdout.buffer, png)


def _decoded(data: bytes) -> tuple[dict[str, Any], bytes]:
    # In the child only: the parent loads no codec, and starts sooner.
    from core.images import pack_photo, read_photo, xmp_in
    from core.provenance import manifest_in

    try:
        photo = read_photo(data)
    except PreferError as error:
        return {"code": error.code, "message": str(error)}, b""
    width, height = photo.size
    digest = pixels_sha256(photo.pixels.shape, photo.pixels.data)
    about = {"width": width, "height": height, "pixels_sha256": digest, "manifest": manifest_in(xmp_in(data) or b"")}
    return about, pack_photo(photo)


def _understood(about: Any, png: bytes) -> DecodedPhoto | PreferError:
    """Return what a child's words mean; they are not believed, since the photo may have been its undoing."""
    if "code" in about:
        return _ERRORS[about["code"]](str(about["message"]))
    width, height, digest, manifest = (about[name] for name in ("width", "height", "pixels_sha256", "manifest"))
    if type(width) is not int or type(height) is not int or len(bytes.fromhex(digest)) != hashlib.sha256().digest_size:
        raise ValueError(f"got a photo of {width!r} by {height!r} pixels, wanted numbers and a digest")
    return DecodedPhoto(png, width, height, digest, None if manifest is None else manifest.encode("ascii").decode())


def pixels_sha256(shape: tuple[int, ...], pixels: bytes | memoryview) -> str:
    """Return the digest of a picture's pixels, whatever file format they came in."""
    digest = hashlib.sha256(f"{shape}".encode())
    digest.update(pixels)
    return digest.hexdigest()


def _read(pipe: IO[bytes], most: int) -> bytes:
    (length,) = _LENGTH.unpack(pipe.read(_LENGTH.size))
    if length > most:
        raise struct.error(f"got the announcement of {length} bytes, wanted at most {most}")
    data = pipe.read(length)
    if len(data) < length:
        raise struct.error(f"got {len(data)} bytes, wanted {length}")
    return data


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was still to be sent has no reader any more
        pipe.close()


if __name__ == "__main__":
    main()
