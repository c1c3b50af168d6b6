"""What a PNG or a JPEG is made of, walked through without decoding a pixel: strangers' files are bounded by it."""

import re
from collections.abc import Iterator

from PIL.JpegImagePlugin import MARKER

from core.errors import UnreadableImage
from core.photo_limits import MAX_CHUNKS, MAX_SCANS

# MPO is Pillow's word for a JPEG with more behind the photo: a second lens's picture, a map of its depth or its light.
JPEGS = ("JPEG", "MPO")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_SCAN, _END = 0xDA, 0xD9  # of a JPEG's picture
_FIRST_SCAN = 0xFF00 | _SCAN
# Where the next segment begins, for a decoder: in coded data 0xFF is followed by 0, a restart, or more of itself.
_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def png_chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield of each chunk its kind, where its bytes begin, and how many it says it has."""
    at = len(_PNG)
    while at + 8 <= len(png):
        length, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        yield kind, at + 8, length
        at += 12 + length


def check_parts(data: bytes) -> None:
    """Refuse a PNG or JPEG with a great many parts beside its pixels: each costs as much as a thousand of these."""
    steps = _png_parts(data) if data.startswith(_PNG) else _jpeg_segments(data) if data.startswith(_JPEG) else ()
    for count, _ in enumerate(steps, 1):
        if count > MAX_CHUNKS:
            raise _too_many_parts()


def _png_parts(data: bytes) -> Iterator[int]:
    """Yield where each chunk begins but the pixels', which may come in pieces as small as they like."""
    for kind, at, _ in png_chunks(data):
        if kind == b"IEND":
            return
        if kind != b"IDAT":
            yield at


def _jpeg_segments(data: bytes) -> Iterator[int]:
    """Yield where each segment before the first scan begins, as Pillow reads, and every 64th byte of padding."""
    at = 2
    while at + 2 <= len(data) and (marker := int.from_bytes(data[at : at + 2])) != _FIRST_SCAN:
        if marker in MARKER or at % 64 == 0:
            yield at
        if marker not in MARKER:
            at += 1
        elif MARKER[marker][2] is None:
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))


def check_scans(data: bytes) -> None:
    """Refuse a JPEG whose picture would be painted over again and again: each scan costs as much as a whole one.

    What lies behind the picture's end, such as a second picture or a film, is never decoded and does not count.
    """
    at, parts, scans = len(_JPEG) - 1, 0, 0
    while (found := _SEGMENT.search(data, at)) and data[found.end() - 1] != _END:
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2]))
        if data[found.end() - 1] == _SCAN:
            scans += 1
        elif scans:
            parts += 1
        if scans > MAX_SCANS:
            raise UnreadableImage(f"got a JPEG of more than {MAX_SCANS} scans, wanted at most that; save it anew")
        if parts > MAX_CHUNKS:
            raise _too_many_parts()


def _too_many_parts() -> UnreadableImage:
    return UnreadableImage(
        f"got an image of more than {MAX_CHUNKS:,} parts beside its pixels, wanted at most that; save it anew"
    )
