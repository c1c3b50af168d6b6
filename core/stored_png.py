"""PNG without compression, for pixels that would not shrink anyway: packing noise takes seconds and saves nothing."""

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BIT_RGB = (8, 2, 0, 0, 0)  # depth, colour type, compression, filters, not interlaced
_EVERY = 97  # rows from one that is tried to the next
_WORTH = 0.95  # of the plain size: below it packing pays


def shrinks(pixels: np.ndarray) -> bool:
    """Say whether pixels (H, W, 3) uint8 get smaller by packing, from a sample of rows, each less the one above."""
    some = pixels[1::_EVERY]
    sample = (some - pixels[0:-1:_EVERY][: len(some)]).tobytes()
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return not sample or len(packer.compress(sample) + packer.flush()) < _WORTH * len(sample)


def stored_png(pixels: np.ndarray, icc_profile: bytes | None = None) -> bytes:
    """Encode pixels (H, W, 3) uint8 as a PNG whose data is stored as it is."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a zero before each row: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    parts = [_SIGNATURE, *_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *_EIGHT_BIT_RGB))]
    if icc_profile is not None:
        parts += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    parts += _chunk(b"IDAT", zlib.compress(rows.data, 0))
    parts += _chunk(b"IEND", b"")
    return b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)
