"""Tests of the way into the aligned frame and back: exact, sharp, and nothing outside the mask."""

import numpy as np
import pytest

from core.alignment import alignment, box_alignment, crop, ffhq_template, paste, similarity, soft_mask

SIDE = 128


def turned(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    """Return a (2, 3) similarity."""
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    return np.array([[cos, -sin, x], [sin, cos, y]])


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (N, 2) under a (2, 3) map."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def picture(height: int, width: int) -> np.ndarray:
    """Return a photo (height, width, 3) of slow waves, whose value at any point is known."""
    y, x = np.mgrid[:height, :width] + 0.5
    waves = [128 + 100 * np.sin(x / 23) * np.cos(y / 31), 128 + 90 * np.cos(x / 37), 128 + 80 * np.sin(y / 29)]
    return np.stack(waves, -1).round().astype(np.uint8)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, 3.0])
def test_similarity_is_found_again(angle: float) -> None:
    """Points moved by a similarity give that similarity back, at any angle."""
    matrix = turned(angle, 0.7, 12.0, -5.0)
    points = ffhq_template(SIDE)
    np.testing.assert_allclose(similarity(points, mapped(matrix, points)), matrix, atol=1e-9)


def test_similarity_does_not_mirror() -> None:
    """Mirrored points give the nearest rotation, never a reflection."""
    points = ffhq_template(SIDE)
    matrix = similarity(points * [-1, 1], points)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_alignment_brings_landmarks_to_the_template() -> None:
    """A turned, shrunken face's landmarks land on FFHQ's five points."""
    landmarks = mapped(turned(0.3, 0.5, 200.0, 90.0), ffhq_template(256))
    placed = mapped(alignment(landmarks, SIDE), landmarks)
    np.testing.assert_allclose(placed, ffhq_template(SIDE), atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.23, 1.9])
def test_crop_shows_what_lies_there(scale: float) -> None:
    """Each pixel of a crop is the photo's value at the place that the map says, to half a pixel of the photo."""
    photo = picture(600, 700)
    matrix = turned(0.2, scale, 64 - scale * 330, 64 - scale * 290)
    got = crop(photo, matrix, SIDE).astype(float)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    u, v = mapped(inverse, np.stack([x.ravel(), y.ravel()], -1)).T
    inside = (u > 8) & (u < 692) & (v > 8) & (v < 592)
    wanted = 128 + 90 * np.cos(u / 37)
    assert np.abs(got[..., 1].ravel() - wanted)[inside].mean() < 1.2


def test_shrinking_averages() -> None:
    """A fine checkerboard shrinks to grey: no pixel is skipped."""
    board = (np.indices((800, 800)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    got = crop(board, turned(0.0, 0.16, 0.0, 0.0), SIDE)
    assert np.abs(got.astype(int) - 127).max() < 12


def test_crop_then_paste_is_the_identity() -> None:
    """What is pasted unchanged leaves the photo to the bit, however the face is turned."""
    photo = picture(300, 400)
    for matrix in (turned(0.0, 1.0, 0.0, 0.0), turned(0.5, 0.4, 30.0, -20.0), turned(-0.2, 1.7, -100.0, -150.0)):
        aligned = crop(photo, matrix, SIDE)
        assert np.array_equal(paste(photo, aligned, aligned, matrix), photo)


@pytest.mark.parametrize("scale", [0.35, 1.0, 2.3])
def test_paste_moves_the_difference(scale: float) -> None:
    """A constant change of the crop is that change in the middle of the face, at every scale, and none outside."""
    photo = np.full((400, 500, 3), 100, np.uint8)
    matrix = turned(
        0.3,
        scale,
        64 - scale * (250 * np.cos(0.3) - 200 * np.sin(0.3)),
        64 - scale * (250 * np.sin(0.3) + 200 * np.cos(0.3)),
    )
    aligned = crop(photo, matrix, SIDE)
    after = paste(photo, aligned, aligned + 40, matrix)
    y, x = np.mgrid[:400, :500] + 0.5
    u, v = mapped(matrix, np.stack([x.ravel(), y.ravel()], -1)).T
    edge = np.minimum(np.minimum(u, SIDE - u), np.minimum(v, SIDE - v)).reshape(400, 500)
    assert (after[edge > 0.15 * SIDE] == 140).all()
    assert (after[edge < 0] == 100).all()
    assert after.min() >= 100
    assert after.max() <= 140


def test_a_fine_change_of_a_small_face_is_averaged() -> None:
    """Grain in a crop that is shrunk four times into the photo averages out, as any downscaling would have it."""
    photo = np.full((60, 60, 3), 100, np.uint8)
    matrix = turned(0.0, 4.0, 64 - 4 * 30.0, 64 - 4 * 30.0)
    aligned = crop(photo, matrix, SIDE)
    grain = np.random.default_rng(0).integers(0, 81, (SIDE, SIDE, 3))
    after = paste(photo, aligned, (aligned + grain).astype(np.uint8), matrix)
    middle = after[20:40, 20:40].astype(int)
    assert abs(middle.mean() - 140) < 2
    assert middle.std() < 1.5 * grain.std() / 4


def test_paste_keeps_to_eight_bits() -> None:
    """Changes beyond black and white end there, without wrapping around."""
    photo = np.full((SIDE, SIDE, 3), 250, np.uint8)
    aligned = np.full((SIDE, SIDE, 3), 10, np.uint8)
    after = paste(photo, aligned, np.full_like(aligned, 250), turned(0.0, 1.0, 0.0, 0.0))
    assert after.min() == 250
    assert after[64, 64, 0] == 255


def test_mask() -> None:
    """One in the middle, nothing at the very edge, never rising outwards."""
    mask = soft_mask(SIDE)
    assert mask[64, 64] == 1
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert (np.diff(mask[64, :64]) >= 0).all()
    np.testing.assert_array_equal(mask, mask[::-1])


def test_box_alignment() -> None:
    """A box lands upright about the middle of the crop, in FFHQ's proportions."""
    matrix = box_alignment((100.0, 50.0, 200.0, 150.0), SIDE)
    x0, y0, x1, y1 = mapped(matrix, np.array([(100.0, 50.0), (200.0, 150.0)])).ravel()
    assert (x0 + x1) / 2 == pytest.approx(64)
    assert 0.5 * SIDE < x1 - x0 < 0.6 * SIDE
    assert y0 > 0
    assert y1 < SIDE
