"""Tests of pictures kept without packing."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.images import Photo, pack_photo, read_photo
from core.stored_png import shrinks, stored_png

NOISE = np.random.default_rng(0).integers(0, 256, (211, 307, 3), dtype=np.uint8)
RAMP = np.broadcast_to(np.arange(300, dtype=np.uint16)[:, None, None] // 2, (300, 200, 3)).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("pixels", [NOISE, RAMP, NOISE[:1], NOISE[:, :1]], ids=["noise", "ramp", "a row", "a column"])
def test_others_read_it(pixels: np.ndarray) -> None:
    """Pillow finds the same pixels and the profile, and nothing amiss."""
    image = Image.open(io.BytesIO(stored_png(pixels, SRGB)))
    image.load()
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), pixels)
    assert image.info["icc_profile"] == SRGB
    Image.open(io.BytesIO(stored_png(pixels))).verify()


def test_what_shrinks() -> None:
    """Noise does not; a picture does."""
    assert not shrinks(NOISE)
    assert shrinks(RAMP)


@pytest.mark.parametrize("pixels", [NOISE, RAMP], ids=["noise", "ramp"])
def test_packed(pixels: np.ndarray) -> None:
    """Packed either way a photo comes back as it was, in no more bytes than its pixels and a little."""
    packed = pack_photo(Photo(pixels, SRGB))
    photo = read_photo(packed)
    assert np.array_equal(photo.pixels, pixels)
    assert photo.icc_profile == SRGB
    assert len(packed) < 1.02 * pixels.nbytes + 4096
