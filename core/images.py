"""Photographs in and out: bytes <-> upright sRGB-coded pixels, with limits, and files that are never half-written."""

import io
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from core.errors import ImageTooLarge, InvalidOption, UnreadableImage
from core.photo_limits import MAX_BYTES, MAX_PIXELS, MAX_PIXELS_OF, MAX_SIDE, MIN_SIDE
from core.picture_parts import JPEGS, check_parts, check_scans, png_chunks
from core.quick_png import quick_png

# What Pillow's and libheif's decoders raise over damaged bytes.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, MemoryError, Image.DecompressionBombError)
_XMP_KEYWORD = "XML:com.adobe.xmp"
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")
_COLOURED = ("RGB", "RGBA", "RGBX", "P", "PA")  # modes whose colours, perhaps of a palette, are RGB
_ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    "webp": ("WEBP", {"lossless": True}),
}


@dataclass(frozen=True)
class Photo:
    """A photograph as people see it: pixels (H, W, 3) uint8, upright, in the colours of its profile (None: sRGB)."""

    pixels: np.ndarray
    icc_profile: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_photo(data: bytes, limit_bytes: int | None = MAX_BYTES) -> Photo:
    """Decode JPEG, PNG, WebP or HEIC bytes of one photo; UnreadableImage or ImageTooLarge says what is wrong.

    `limit_bytes` None: bytes that we encoded ourselves, as large as the pixels make them.
    """
    if limit_bytes is not None and len(data) > limit_bytes:
        raise ImageTooLarge(f"got an image of more than {limit_bytes:,} bytes, wanted at most that; make it smaller")
    check_parts(data)
    try:
        with _opened(data) as image:
            _check_header(image)
            if image.format in JPEGS:
                check_scans(data)
            profile = _checked_profile(image.info.get("icc_profile"), image.mode)
            image.load()
            _check_size(image)  # once more: HEIC may turn out larger than its head says
            ImageOps.exif_transpose(image, in_place=True)  # never two whole pictures where one is enough
            pixels = np.asarray(_flattened(image))
    except UnidentifiedImageError:
        raise UnreadableImage("got bytes that are no JPEG, PNG, WebP or HEIC image; wanted one of these") from None
    except _BROKEN as error:
        raise UnreadableImage(f"got an image that cannot be decoded ({error}); wanted a whole one") from None
    return Photo(np.ascontiguousarray(pixels), profile)


def read_photo_file(path: Path) -> Photo:
    """Decode an image file; the error names the file."""
    try:
        with path.open("rb") as file:
            return read_photo(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise UnreadableImage(f"got {path}, which cannot be read ({error.strerror}); wanted an image") from None
    except (UnreadableImage, ImageTooLarge) as error:
        raise type(error)(f"{path}: {error}") from None


def encode_photo(photo: Photo, format: str = "png", xmp: bytes | None = None) -> bytes:
    """Encode a photograph as png, jpeg or webp, with its colour profile and, of metadata, the XMP packet given only."""
    if format not in _ENCODERS:
        raise InvalidOption(f"got image format {format!r}, wanted one of {', '.join(_ENCODERS)}")
    name, options = _ENCODERS[format]
    if xmp is not None:
        options = {**options, **_with_xmp(name, xmp)}
    buffer = io.BytesIO()
    Image.fromarray(photo.pixels).save(buffer, name, icc_profile=photo.icc_profile, **options)
    return buffer.getvalue()


def pack_photo(photo: Photo) -> bytes:
    """Encode a photograph as PNG for our own keeping: far quicker than `encode_photo`, and a little larger."""
    return quick_png(photo.pixels, photo.icc_profile)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open an image of one of our formats: Pillow knows HEIC only once it was told of it."""
    pillow_heif.register_heif_opener()
    with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        warnings.simplefilter("ignore")  # Pillow warns of damaged metadata, which is dropped here anyway
        yield image


def xmp_in(data: bytes) -> bytes | None:
    """Return the XMP packet in an image's bytes, or None where there is none that can be read."""
    try:
        with _opened(data) as image:
            packet = image.info.get("xmp")
            if packet is None and image.format == "PNG":
                packet = _text_behind_the_pixels(data)
    except _BROKEN:
        return None
    return packet if isinstance(packet, bytes) else None


def _text_behind_the_pixels(png: bytes) -> bytes | None:
    """Return the XMP packet of a PNG whose text comes last, as some programs write it: Pillow would decode it all."""
    for kind, at, length in png_chunks(png):
        chunk = png[at : at + length] if kind == b"iTXt" else b""
        keyword, _, rest = chunk.partition(b"\0")
        if keyword == _XMP_KEYWORD.encode() and rest[:2] == b"\0\0":  # not packed
            return rest[2:].split(b"\0", 2)[-1]
    return None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with partial.open("xb") as file:  # with the permissions that any new file gets here
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _with_xmp(encoder: str, xmp: bytes) -> dict[str, Any]:
    """Return how Pillow writes an XMP packet: PNG has no place of its own for it, but a text chunk by agreement."""
    if encoder != "PNG":
        return {"xmp": xmp}
    chunks = PngInfo()
    chunks.add_itxt(_XMP_KEYWORD, xmp.decode())
    return {"pnginfo": chunks}


def _check_header(image: Image.Image) -> None:
    """Refuse sizes and frames before a pixel is decoded."""
    _check_size(image)
    if image.format not in JPEGS and getattr(image, "n_frames", 1) > 1:
        raise UnreadableImage(f"got an image of {image.n_frames} frames, wanted a single one")  # type: ignore[attr-defined]


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    most = MAX_PIXELS_OF.get(image.format or "", MAX_PIXELS)
    if width * height > most or max(width, height) > MAX_SIDE:
        as_jpeg = width * height <= MAX_PIXELS and max(width, height) <= MAX_SIDE
        raise ImageTooLarge(
            f"got an image of {width}x{height} pixels, wanted sides of at most {MAX_SIDE} and "
            f"at most {most:,} pixels; make it smaller{', or a JPEG' if as_jpeg else ''}"
        )
    if min(width, height) < MIN_SIDE:
        raise UnreadableImage(f"got an image of {width}x{height} pixels, wanted sides of at least {MIN_SIDE}")


def _checked_profile(profile: bytes | None, mode: str) -> bytes | None:
    """Return the colour profile where it is a valid one for RGB pixels: phones write Display P3."""
    if not profile or mode not in _COLOURED:
        return None
    try:
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return None
    return profile if parsed.profile.xcolor_space.strip() == "RGB" else None


def _flattened(image: Image.Image) -> Image.Image:
    """Return RGB, with transparency laid over white."""
    if image.mode.startswith("I"):
        image = _shallow(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """Return 16 bits of grey as 8, where Pillow would clip at 255; the one level that may be transparent is white."""
    deep = np.asarray(image, np.uint32)
    grey = (deep >> 8).clip(0, 255).astype(np.uint8)
    grey[deep == image.info.get("transparency", -1)] = 255
    return Image.fromarray(grey)
