"""Tests of pictures for our own keeping."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.images import Photo, pack_photo, read_photo
from core.quick_png import best_filter, best_strategy, quick_png

NOISE = np.random.default_rng(0).integers(0, 256, (211, 307, 3), dtype=np.uint8)
DOWNWARDS = np.broadcast_to(NOISE[:1], (300, 307, 3)).copy()  # each row as the one above
ACROSS = np.broadcast_to(NOISE[:, :1], (211, 200, 3)).copy()  # each pixel as the one to the left
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PICTURES = {
    "noise": NOISE, "downwards": DOWNWARDS, "across": ACROSS, "a row": NOISE[:1], "two rows": ACROSS[:2],
    "a column": NOISE[:, :1], "65 rows": DOWNWARDS[:65], "upside down": DOWNWARDS[::-1], "black": np.zeros_like(NOISE),
}  # fmt: skip


@pytest.mark.parametrize("what", PICTURES)
def test_others_read_it(what: str) -> None:
    """Pillow finds the same pixels and the profile, and nothing amiss."""
    pixels = PICTURES[what]
    image = Image.open(io.BytesIO(quick_png(pixels, SRGB)))
    image.load()
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), pixels)
    assert image.info["icc_profile"] == SRGB
    Image.open(io.BytesIO(quick_png(pixels))).verify()


def test_the_best_filter() -> None:
    """Noise is left as it is; what goes downwards is taken from above, what goes across from the left."""
    assert [best_filter(pixels) for pixels in (NOISE, ACROSS, DOWNWARDS)] == [0, 1, 2]


def test_the_best_strategy() -> None:
    """Runs are looked for where there are some, not in grain."""
    grain = (np.random.default_rng(0).normal(0, 6, NOISE.shape) + 128).astype(np.uint8)
    assert best_strategy(grain, best_filter(grain)) == zlib.Z_HUFFMAN_ONLY
    assert best_strategy(ACROSS, best_filter(ACROSS)) == zlib.Z_RLE


@pytest.mark.parametrize(("what", "share"), [("noise", 1.02), ("downwards", 0.05), ("across", 0.05)])
def test_packed(what: str, share: float) -> None:
    """Packed a photo comes back as it was, in no more bytes than its pixels and a little, or far fewer."""
    pixels = PICTURES[what]
    packed = pack_photo(Photo(pixels, SRGB))
    photo = read_photo(packed)
    assert np.array_equal(photo.pixels, pixels)
    assert photo.icc_profile == SRGB
    assert len(packed) < share * pixels.nbytes + 4096
