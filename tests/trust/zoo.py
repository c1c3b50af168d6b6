"""Hostile images, generated: what a stranger might send instead of a photo, and photos that look odd and are valid.

Each animal is bytes and what is to become of them: `refused`, `accepted`, or `either` where both are right.
"""

import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import pillow_heif
from PIL import Image

Fate = Literal["refused", "accepted", "either"]
PAYLOAD = b"<script>alert('polyglot')</script>"
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 80}),
    "lossless": ("WEBP", {"lossless": True}),
    "heic": ("HEIF", {"quality": 80}),
}
LARGE = (7300, 5450)  # 39.8 megapixels: nearly all that is allowed
LARGE_HEIC = (5770, 4330)  # 25.0


@dataclass(frozen=True)
class Animal:
    """One inhabitant of the zoo."""

    name: str
    data: bytes
    fate: Fate


@cache
def picture(width: int = 200, height: int = 160, mode: str = "RGB") -> Image.Image:
    """Return a smooth picture with some noise."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    pixels[::7] ^= np.random.default_rng(1).integers(0, 64, pixels[::7].shape, np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return a picture's bytes in one of the forms, or in a format of Pillow's."""
    pillow_heif.register_heif_opener()
    name, usual = FORMS.get(form, (form, {}))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of the exif that is to be bad
        image.save(buffer, name, **{**usual, **options})
    return buffer.getvalue()


@cache
def whole(form: str, width: int = 200, height: int = 160) -> bytes:
    """Return a picture's bytes in one of the forms: HEIC takes long to make."""
    return encoded(picture(width, height), form)


def small() -> Iterator[Animal]:
    """Yield what takes moments to make and to try."""
    for form in FORMS:
        yield Animal(f"valid {form}", whole(form), "accepted")
    for mode, form in (
        ("L", "jpeg"),
        ("CMYK", "jpeg"),
        ("LA", "png"),
        ("P", "png"),
        ("RGBA", "lossless"),
        ("1", "png"),
    ):
        yield Animal(f"valid {mode} {form}", encoded(picture(mode=mode), form), "accepted")
    yield from _many_frames()
    yield from _polyglots()
    yield from _floods()
    yield from _exif()
    yield from _scans(picture(), (2, 30, 40, 2000))
    yield from _damaged_png()
    for form in ("GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "PCX"):
        yield Animal(f"of the format {form}", whole(form), "refused")


def large() -> Iterator[Animal]:
    """Yield what comes near to every limit at once."""
    for form in ("jpeg", "progressive", "webp"):
        yield Animal(f"{form} of 40 megapixels", whole(form, *LARGE), "accepted")
    for quality in (50, 64):
        heic = encoded(picture(*LARGE_HEIC), "heic", quality=quality)
        yield Animal(f"heic of 25 megapixels, {len(heic) >> 20} MiB", heic, "accepted")
    yield Animal("heic of more than 25 megapixels", encoded(Image.new("RGB", (5770, 4340)), "heic"), "refused")
    noise = Image.fromarray(np.random.default_rng(2).integers(0, 256, (*LARGE[::-1], 3), np.uint8))
    for form in ("jpeg", "progressive"):  # what is slowest to unpack, and does not shrink when it is packed again
        yield Animal(f"{form} of noise, 40 megapixels", encoded(noise, form, quality=40), "accepted")
    yield from _scans(picture(*LARGE), (2, 22))
    turned = Image.Exif()
    turned[0x0112] = 6
    yield Animal("turned jpeg of 40 megapixels", encoded(picture(*LARGE), "jpeg", exif=turned), "accepted")
    for mode in ("RGBA", "P", "CMYK", "L"):
        flat = Image.new(mode, LARGE)
        form = "jpeg" if mode == "CMYK" else "png"
        yield Animal(f"flat {mode} of 40 megapixels", encoded(flat, form), "accepted")
    yield Animal("16 bits a sample, 40 megapixels", _png(*LARGE, depth=16, colour=6, bytes_each=8), "accepted")
    yield Animal(
        "interlaced, 40 megapixels", _png(*LARGE, depth=8, colour=2, bytes_each=3, interlaced=True), "accepted"
    )


def cut_short(step: int = 1) -> Iterator[Animal]:
    """Yield every form cut off at every so many hundredths of its length."""
    for form in FORMS:
        data = whole(form)
        for percent in range(0, 100, step):
            yield Animal(f"{form} cut at {percent} %", data[: len(data) * percent // 100], "either")


def mutated(count: int) -> Iterator[Animal]:
    """Yield every form with a few bytes changed, so many times."""
    for form in FORMS:
        data = whole(form, 64, 48)
        for seed in range(count):
            chance, bad = random.Random(f"{form} {seed}"), bytearray(data)
            for _ in range(chance.choice((1, 2, 8, 64))):
                # Half of the blows fall on the head, where sizes and offsets are.
                end = len(bad) if chance.random() < 0.5 else min(len(bad), 400)
                bad[chance.randrange(end)] = chance.choice((0, 255, chance.randrange(256)))
            yield Animal(f"{form} mutated {seed}", bytes(bad), "either")


def _many_frames() -> Iterator[Animal]:
    two = {"save_all": True, "append_images": [picture().rotate(90), picture().rotate(180)]}
    yield Animal("mpo", encoded(picture(), "MPO", **two), "accepted")
    yield Animal("animated webp", encoded(picture(), "webp", **two), "refused")
    yield Animal("animated png", encoded(picture(), "png", **two), "refused")
    yield Animal("animated gif", encoded(picture(), "GIF", **two), "refused")
    yield Animal("heic of three pictures", encoded(picture(), "heic", **two), "refused")
    mpo = encoded(picture(), "MPO", **two)
    yield Animal("mpo cut after its first picture", mpo[: mpo.index(b"\xff\xd9") + 2], "either")


def _polyglots() -> Iterator[Animal]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("run.html", PAYLOAD)
    for form in FORMS:
        yield Animal(f"{form} and zip", whole(form) + archive.getvalue(), "either")
    jpeg = whole("jpeg")
    yield Animal("jpeg with a page in its comment", encoded(picture(), "jpeg", comment=PAYLOAD), "accepted")
    yield Animal("jpeg and page", jpeg + PAYLOAD, "accepted")
    yield Animal("gif that is a script", b"GIF89a/*" + jpeg + b"*/=1;" + PAYLOAD, "refused")
    yield Animal("pdf with a jpeg", b"%PDF-1.4\n" + PAYLOAD + jpeg, "refused")
    yield Animal("page", b"<!DOCTYPE html>" + PAYLOAD, "refused")
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield Animal("svg that reads files", svg, "refused")
    yield Animal(
        "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file\n", "refused"
    )
    yield Animal("nothing but zeros", bytes(1 << 20), "refused")
    yield Animal("no bytes", b"", "refused")


def _floods() -> Iterator[Animal]:
    """Little files that claim enormous sizes."""
    jpeg = bytearray(whole("jpeg"))
    frame = jpeg.index(b"\xff\xc0")
    struct.pack_into(">HH", jpeg, frame + 5, 65_500, 65_500)
    yield Animal("jpeg of 65,500 pixels a side", bytes(jpeg), "refused")
    struct.pack_into(">HH", jpeg, frame + 5, 6000, 6000)
    yield Animal("jpeg of 36 megapixels with data for few", bytes(jpeg), "either")
    struct.pack_into(">HH", jpeg, frame + 5, 0, 0)
    yield Animal("jpeg without a size", bytes(jpeg), "refused")
    for side in (30_000, 2**31 - 1):
        yield Animal(f"png of {side:,} pixels a side", _png(side, side, depth=1, colour=0, rows=10), "refused")
    yield Animal("png of 8192 x 4800 with data for few", _png(8192, 4800, depth=8, colour=2, rows=10), "refused")
    heic = bytearray(whole("heic"))
    at = heic.index(b"ispe") + 8
    struct.pack_into(">II", heic, at, 60_000, 60_000)
    yield Animal("heic of 60,000 pixels a side", bytes(heic), "refused")
    webp = bytearray(whole("webp"))
    at = webp.index(b"VP8 ") + 14
    struct.pack_into("<HH", webp, at, 16_383, 16_383)
    yield Animal("webp of 16,383 pixels a side", bytes(webp), "refused")


def bombs() -> Iterator[Animal]:
    """Yield small files that unpack to enormous ones."""
    bomb = zlib.compress(bytes(1 << 26), 9)  # 64 MiB in 64 KiB; sixteen of them are a gigabyte
    texts = b"".join(_chunk(b"zTXt", b"t%d\0\0" % number + bomb) for number in range(16))
    yield Animal("1 GiB of text in a png", _with_chunks(texts), "either")
    yield Animal("64 MiB of profile in a png", _with_chunks(_chunk(b"iCCP", b"p\0\0" + bomb)), "either")
    international = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)
    yield Animal("64 MiB of xmp in a png", _with_chunks(international), "either")
    many = b"".join(_chunk(b"tEXt", b"k%d\0v" % number) for number in range(100_000))
    yield Animal("100,000 texts in a png", _with_chunks(many), "either")
    marker = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)
    jpeg = whole("jpeg")
    yield Animal("19 MB of exif in a jpeg", jpeg[:2] + marker * 290 + jpeg[2:], "either")
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    body = _chunk(b"IDAT", zlib.compress(bytes(1 << 28), 9))
    yield Animal("64 x 64 png of 256 MiB", b"\x89PNG\r\n\x1a\n" + head + body + _chunk(b"IEND", b""), "either")


def _exif() -> Iterator[Animal]:
    for name, tiff in {
        "exif that loops": b"II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0",
        "exif of 65,535 entries": b"II*\0\x08\0\0\0\xff\xff" + b"\x12\1\3\0\1\0\0\0\6\0\0\0" * 4000,
        "exif that points out of itself": b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\xff\xff\xff\xff\xff\xff\xff\xf0\0\0\0\0",
        "exif that is none": b"II*\0",
        "an orientation that is text": b"II*\0\x08\0\0\0\1\0\x12\1\2\0\4\0\0\0six\0\0\0\0\0",
    }.items():
        yield Animal(name, encoded(picture(), "jpeg", exif=b"Exif\0\0" + tiff), "accepted")
    for size in (0, 127, 128, 60_000):
        yield Animal(f"a profile of {size} bytes of noise", _noise_profile(size), "accepted")


def _scans(image: Image.Image, counts: tuple[int, ...]) -> Iterator[Animal]:
    """A progressive JPEG that paints itself over and over."""
    data = encoded(image, "progressive")
    last = data.rindex(b"\xff\xda")
    for count in counts:
        fate: Fate = "refused" if count >= 32 else "either"
        bomb = data[:-2] + data[last:-2] * count + data[-2:]
        if len(bomb) < 20 * 2**20:
            yield Animal(f"{image.size[0]} x {image.size[1]} jpeg of {count} scans too many", bomb, fate)


def _damaged_png() -> Iterator[Animal]:
    png = whole("png")
    start = png.index(b"IDAT") - 4
    yield Animal("png without its pixels", png[:start] + png[-12:], "refused")
    yield Animal("png with a wrong checksum", png[:-20] + b"\0\0\0\0" + png[-16:], "either")
    yield Animal("png with two heads", png[:33] + png[8:33] + png[33:], "either")
    yield Animal("png whose chunk is endless", png[:start] + b"\x7f\xff\xff\xff" + png[start + 4 :], "either")


def _png(
    width: int, height: int, depth: int, colour: int, bytes_each: float = 0.125, rows: int | None = None,
    interlaced: bool = False,
) -> bytes:  # fmt: skip
    """Return a black PNG of any size, with as many rows of data as wanted."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    packer, row = zlib.compressobj(1), bytes(int(width * bytes_each) + 2)
    packed = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _with_chunks(chunks: bytes) -> bytes:
    png = whole("png")
    return png[:33] + chunks + png[33:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _noise_profile(size: int) -> bytes:
    noise = np.random.default_rng(size).integers(0, 255, size, np.uint8).tobytes()
    return encoded(picture(), "jpeg", icc_profile=noise)


KINDS: dict[str, Callable[[], Iterator[Animal]]] = {
    "small": small,
    "bombs": bombs,
    "large": large,
    "cut short": cut_short,
    "mutated": lambda: mutated(2000),
}
