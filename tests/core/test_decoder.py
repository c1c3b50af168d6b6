"""Tests of the child process that decodes strangers' bytes."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from core.decoder import Decoder, pixels_sha256
from core.errors import ImageTooLarge, UnreadableImage
from core.images import read_photo
from core.photo_limits import MAX_BYTES

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
