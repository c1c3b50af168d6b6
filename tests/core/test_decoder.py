"""Tests of the child process that decodes strangers' bytes."""

import io
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from core import decoder as decoding
from core.decoder import Decoder, pixels_sha256
from core.errors import ImageTooLarge, UnreadableImage
from core.images import read_photo
from core.photo_limits import MAX_BYTES, MAX_CHUNKS

PORTRAIT = Path(__file__).parents[2] / "cli" / "demo_photos" / "mike_kelly_1.jpg"


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """A decoder of one child."""
    made = Decoder(children=1)
    yield made
    made.close()


def test_pixels_are_those_of_the_photo(decoder: Decoder) -> None:
    """What comes back is PNG of the very pixels that decoding in this process gives."""
    data = PORTRAIT.read_bytes()
    decoded, photo = decoder.decode(data), read_photo(data)
    assert (read_photo(decoded.png).pixels == photo.pixels).all()
    assert (decoded.width, decoded.height) == photo.size
    assert decoded.pixels_sha256 == pixels_sha256(photo.pixels.shape, photo.pixels.tobytes())


def test_of_a_jpeg_with_more_pictures_the_first_comes_back(decoder: Decoder) -> None:
    """What lies behind the photo, a depth map or a second lens's picture, does not come out."""
    buffer = io.BytesIO()
    first, second = (Image.new("RGB", (64, 48), colour) for colour in ("red", "blue"))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    decoded = decoder.decode(buffer.getvalue())
    (red, _, blue) = read_photo(decoded.png).pixels[0, 0]
    assert (decoded.width, decoded.height) == (64, 48)
    assert red > 200 > 50 > blue


def test_what_is_no_photo_is_named(decoder: Decoder) -> None:
    """Refusals of the child reach the caller by name, and the child serves on."""
    with pytest.raises(UnreadableImage, match="JPEG"):
        decoder.decode(b"no photo at all")
    with pytest.raises(UnreadableImage):
        decoder.decode(PORTRAIT.read_bytes()[:2000])
    with pytest.raises(ImageTooLarge):
        decoder.decode(bytes(MAX_BYTES + 1))
    assert decoder.decode(PORTRAIT.read_bytes()).width


def test_a_bomb_is_refused(decoder: Decoder) -> None:
    """A small file of far too many pixels is refused before one of them is decoded."""
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    with pytest.raises(ImageTooLarge, match="12000x12000"):
        decoder.decode(buffer.getvalue())


def test_who_overruns_is_killed_and_replaced() -> None:
    """A photo that takes too long costs its child, and the next one is served by another."""
    decoder = Decoder(children=1, seconds=0.001)
    with pytest.raises(UnreadableImage, match="took more than"):
        decoder.decode(PORTRAIT.read_bytes())
    decoder._seconds = 20.0
    assert decoder.decode(PORTRAIT.read_bytes()).width
    decoder.close()


def test_all_children_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that is closed leaves none of its children behind."""
    started: list[decoding._Child] = []
    start = decoding._Child.__init__

    def noted(child: decoding._Child) -> None:
        started.append(child)
        start(child)

    monkeypatch.setattr(decoding._Child, "__init__", noted)
    made = Decoder(children=2)
    for _ in range(2):
        assert made._idle.get() is None
    for _ in range(2):
        made._idle.put(decoding._Child())
    made.close()
    assert [child._process.returncode is None for child in started] == [False, False]


def _png(side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (9, 9, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


@pytest.mark.parametrize("where", [b"IDAT", b"IEND"])
def test_a_png_of_very_many_chunks(decoder: Decoder, where: bytes) -> None:
    """It is refused soon, whether they stand before the pixels or behind them."""
    png = _png()
    at = png.index(where) - 4
    many = _chunk(b"tEXt", b"k\0v") * 300_000
    with pytest.raises(UnreadableImage, match="more than 1,000 parts"):
        decoder.decode(png[:at] + many + png[at:])


JPEG_PARTS = {
    "comments": b"\xff\xfe\0\2" * 1_000_000,
    "metadata": b"\xff\xe1\0\x08Exif\0\0" * 400_000,
    "restarts": b"\xff\xd0" * 2_000_000,
    "padding": b"\xff" * 4_000_000,
    "what does not belong there": bytes(4_000_000),
}


def _jpeg_with(parts: bytes) -> bytes:
    """Return a JPEG with something behind its first segment."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 9, 9)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    at = 4 + int.from_bytes(jpeg[4:6])
    return jpeg[:at] + parts + jpeg[at:]


@pytest.mark.parametrize("what", JPEG_PARTS)
def test_a_jpeg_of_very_many_parts(decoder: Decoder, what: str) -> None:
    """It is refused soon, whatever they are."""
    with pytest.raises(UnreadableImage, match="more than 1,000 parts"):
        decoder.decode(_jpeg_with(JPEG_PARTS[what]))


def test_a_jpeg_of_many_parts(decoder: Decoder) -> None:
    """Hundreds of segments, and some padding between them, are nobody's fault."""
    parts = b"\xff\xe2\0\x10" + bytes(14) + b"\xff" * 40
    assert decoder.decode(_jpeg_with(parts * 400 + b"\xff" * 4000 + bytes(4000))).width == 64


def test_a_png_of_many_small_pieces(decoder: Decoder) -> None:
    """Pixels may come in thousands of pieces, with the usual chunks beside them and whatever behind the end."""
    png = _png(640)
    at = png.index(b"IDAT") - 4
    size = int.from_bytes(png[at : at + 4])
    pixels, rest = png[at + 8 : at + 8 + size], png[at + 12 + size :]
    pieces = b"".join(_chunk(b"IDAT", pixels[i : i + 1]) for i in range(size))
    beside = _chunk(b"tEXt", b"k\0v") * (MAX_CHUNKS - 10)
    whole = png[:at] + beside + pieces + _chunk(b"IDAT", b"") * 5000 + rest + bytes(100_000)
    assert decoder.decode(whole).pixels_sha256 == decoder.decode(png).pixels_sha256


def _told(about: bytes, png: bytes = b"") -> bytes:
    return b"".join(len(part).to_bytes(8, "little") + part for part in (about, png))


_ABOUT = {"width": 1, "height": 1, "pixels_sha256": "ab" * 32, "manifest": None}
LIES = {
    "a length beyond every memory": (1 << 40).to_bytes(8, "little"),
    "a length of half of it": (1 << 20).to_bytes(8, "little") + b"x" * (1 << 20),
    "a picture beyond every memory": _told(json.dumps(_ABOUT).encode())[:-8] + (1 << 40).to_bytes(8, "little"),
    "no JSON": _told(b"xyz"),
    "deep JSON": _told(b"[" * 60_000),
    "no object": _told(b"[]"),
    "a number": _told(b"7"),
    "nothing of a photo": _told(b"{}"),
    "an error that is none": _told(b'{"code": "exit", "message": "x"}'),
    "an error of a list": _told(b'{"code": ["exit"], "message": "x"}'),
    "sides of text": _told(json.dumps(_ABOUT | {"width": "1"}).encode()),
    "a digest that is none": _told(json.dumps(_ABOUT | {"pixels_sha256": "\ud800"}).encode()),
    "a manifest that is none": _told(json.dumps(_ABOUT | {"manifest": "\ud800"}).encode()),
    "nothing at all": b"",
}
_LIAR = """
import sys
size = int.from_bytes(sys.stdin.buffer.read(8), "little")
sys.stdin.buffer.read(size)
sys.stdout.buffer.write(open(sys.argv[1], "rb").read())
sys.stdout.buffer.flush()
"""


@pytest.mark.parametrize("lie", LIES)
def test_a_child_that_was_taken_over(lie: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it says is not believed: the photo is refused, and the child replaced."""
    told = tmp_path / "told"
    told.write_bytes(LIES[lie])

    def start(child: decoding._Child) -> None:
        command = [sys.executable, "-c", _LIAR, str(told)]
        child._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    decoder = Decoder(children=1)
    with monkeypatch.context() as taken_over:
        taken_over.setattr(decoding._Child, "__init__", start)
        with pytest.raises(UnreadableImage, match="got an image that took more"):
            decoder.decode(b"a stranger's bytes")
    assert decoder.decode(PORTRAIT.read_bytes()).width
    decoder.close()
