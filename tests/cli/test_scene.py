"""Tests of the demo's own photographs."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from cli.scene import PHOTO, PORTRAITS, REFERENCES, demo_scene, portrait

NAMES = sorted(path.name for path in PORTRAITS.glob("*.jpg"))


def gradient_hash(pixels: np.ndarray) -> np.ndarray:
    """Return 256 bits that survive rescaling, light and compression: where brightness rises to the right."""
    grey = np.asarray(Image.fromarray(pixels).convert("L").resize((17, 16), Image.Resampling.BOX), dtype=float)
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def test_gradient_hash_finds_near_duplicates() -> None:
    """The near-duplicate measure sees through rescaling and compression, so the next test means something."""
    pixels = portrait(PHOTO)
    smaller = np.asarray(Image.fromarray(pixels).resize((200, 200)).resize((256, 256)))
    assert (gradient_hash(pixels) != gradient_hash(smaller)).mean() < 0.05


@pytest.mark.parametrize(("first", "second"), list(combinations([*REFERENCES, PHOTO], 2)))
def test_references_and_photo_are_different_photographs(first: str, second: str) -> None:
    """No reference is the test photo, nor a rescaled or recompressed copy of it."""
    digests = {hashlib.sha256((PORTRAITS / name).read_bytes()).hexdigest() for name in (first, second)}
    assert len(digests) == 2
    assert (gradient_hash(portrait(first)) != gradient_hash(portrait(second))).mean() > 0.15


def test_no_portrait_comes_twice() -> None:
    """All portraits that come along are different photographs."""
    hashes = [gradient_hash(portrait(name)) for name in NAMES]
    assert min((a != b).mean() for a, b in combinations(hashes, 2)) > 0.15


def test_portraits_are_small_and_credited() -> None:
    """All portraits together stay below 2 MB, and each is credited."""
    assert sum((PORTRAITS / name).stat().st_size for name in NAMES) < 2_000_000
    credits = (PORTRAITS.parent.parent / "docs" / "CREDITS.md").read_text()
    assert all(name in credits for name in NAMES)


def test_scene_is_degraded_and_repeats() -> None:
    """The picture to restore is the truth made worse, inside the portraits only, and equal for equal seeds."""
    scene, again = demo_scene(), demo_scene()
    assert np.array_equal(scene.photo, again.photo)
    error = np.abs(scene.photo.astype(int) - scene.truth).max(-1)
    assert error[100:300].max() > 30
    assert error[:80].max() == 0


def test_one_reference_is_degraded() -> None:
    """The first reference is the portrait as it is, the second a degraded one."""
    first, second = demo_scene().references
    assert np.array_equal(first, portrait(REFERENCES[0]))
    assert not np.array_equal(second, portrait(REFERENCES[1]))
