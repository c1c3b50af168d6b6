"""Tests of the way into the aligned frame and back: exact, sharp, and nothing outside the mask."""

import tracemalloc

import cv2
import numpy as np
import pytest

from core.alignment import Change, alignment, box_alignment, crop, ffhq_template, paste, similarity, soft_mask

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
        assert np.array_equal(paste(photo, [Change(aligned, aligned, matrix)]), photo)


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
    after = paste(photo, [Change(aligned, aligned + 40, matrix)])
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
    after = paste(photo, [Change(aligned, (aligned + grain).astype(np.uint8), matrix)])
    middle = after[20:40, 20:40].astype(int)
    assert abs(middle.mean() - 140) < 2
    assert middle.std() < 1.5 * grain.std() / 4


def test_paste_keeps_to_eight_bits() -> None:
    """Changes beyond black and white end there, without wrapping around."""
    photo = np.full((SIDE, SIDE, 3), 250, np.uint8)
    aligned = np.full((SIDE, SIDE, 3), 10, np.uint8)
    after = paste(photo, [Change(aligned, np.full_like(aligned, 250), turned(0.0, 1.0, 0.0, 0.0))])
    assert after.min() == 250
    assert after[64, 64, 0] == 255


def brightened(photo: np.ndarray, x: float, y: float) -> Change:
    """Return a face at a place of the photo, made brighter by 40."""
    matrix = turned(0.0, 1.0, SIDE / 2 - x, SIDE / 2 - y)
    aligned = crop(photo, matrix, SIDE)
    return Change(aligned, aligned + 40, matrix)


@pytest.mark.parametrize("apart", [(30, 0), (0, 70), (100, 100), (110, 0)])
def test_neighbours_share_what_lies_between_them(apart: tuple[int, int]) -> None:
    """Where two faces' masks overlap, however much, the photo changes as much as by one of them, and no more."""
    photo = np.full((400, 400, 3), 100, np.uint8)
    first, second = brightened(photo, 150, 150), brightened(photo, 150 + apart[0], 150 + apart[1])
    after = paste(photo, [first, second])
    alone = np.maximum(paste(photo, [first]), paste(photo, [second]))
    assert (alone <= after).all()
    assert after.max() == 140
    assert np.array_equal(after, paste(photo, [second, first]))


def test_a_face_left_as_it_was_takes_no_share() -> None:
    """A neighbour that was not changed takes nothing from a face that was."""
    photo = picture(300, 300)
    face, neighbour = brightened(photo, 120, 120), brightened(photo, 180, 120)
    same = Change(neighbour.aligned, neighbour.aligned, neighbour.matrix)
    assert np.array_equal(paste(photo, [face, same]), paste(photo, [face]))


def test_faces_apart_are_pasted_as_one_by_one() -> None:
    """Faces whose masks do not meet come out as each alone, wherever they lie in the photo, or beyond its edge."""
    photo = picture(300, 700)
    faces = [brightened(photo, x, y) for x, y in ((0, 0), (650, 280), (300, 150), (900, 150))]
    one_by_one = photo
    for face in faces:
        one_by_one = paste(one_by_one, [face])
    assert np.array_equal(paste(photo, faces), one_by_one)


def on_the_whole_photo(pixels: np.ndarray, change: Change) -> np.ndarray:
    """Paste one face by warping it over the whole photo, the plain way."""
    height, width = pixels.shape[:2]
    side, scale = len(change.aligned), np.sqrt(np.linalg.det(change.matrix[:, :2]))
    moved = (change.restored.astype(np.float32) - change.aligned) * soft_mask(side)[..., None]
    small = max(1, round(side / max(1.0, scale)))
    if small < side:
        moved = cv2.resize(moved, (small, small), interpolation=cv2.INTER_AREA)
    back = whole_pixels(change.matrix * (small / side))
    moved = cv2.warpAffine(moved, back, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    reach, back = (soft_mask(side) > 0).astype(np.float32), whole_pixels(change.matrix)
    moved[cv2.warpAffine(reach, back, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP) == 0] = 0
    return np.clip(np.rint(pixels.astype(np.float32) + moved), 0, 255).astype(np.uint8)


def whole_pixels(matrix: np.ndarray) -> np.ndarray:
    """Return a map of places as one of pixels, whose places are their middles."""
    return np.column_stack([matrix[:, :2], matrix @ (0.5, 0.5, 1) - 0.5])


def test_working_in_strips_changes_no_bit() -> None:
    """Crop and paste give the bits that warping the whole crop and the whole photo would, at any turn and scale."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        photo = rng.integers(0, 256, (rng.integers(60, 500), rng.integers(60, 700), 3)).astype(np.uint8)
        matrix = turned(rng.uniform(-3, 3), np.exp(rng.uniform(-2.2, 1.4)), 0.0, 0.0)
        matrix[:, 2] = SIDE / 2 - matrix[:, :2] @ (rng.uniform(-0.1, 1.1, 2) * photo.shape[1::-1])
        aligned = crop(photo, matrix, SIDE)
        factor = max(1, round(1 / np.sqrt(np.linalg.det(matrix[:, :2]))))
        side, how = (SIDE * factor,) * 2, {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REFLECT_101}
        large = cv2.warpAffine(photo, whole_pixels(matrix * factor), side, **how)
        assert np.array_equal(aligned, cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        change = Change(aligned, rng.integers(0, 256, aligned.shape).astype(np.uint8), matrix)
        assert np.array_equal(paste(photo, [change]), on_the_whole_photo(photo, change))


def peak_bytes(photo: np.ndarray, box: tuple[float, float, float, float]) -> int:
    """Return the most memory that cutting out and pasting a face takes, beside the photo."""
    matrix = box_alignment(box, SIDE)
    tracemalloc.start()
    try:
        aligned = crop(photo, matrix, SIDE)
        paste(photo, [Change(aligned, 255 - aligned, matrix)])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("box", [(1500.0, 1000.0, 1560.0, 1060.0), (0.0, 0.0, 3000.0, 2000.0)], ids=["small", "large"])
def test_memory_is_that_of_the_result(box: tuple[float, float, float, float]) -> None:
    """A face in a large photo, small or as large as it, takes the result and little more, not floats of the photo."""
    photo = np.full((2000, 3000, 3), 120, np.uint8)
    assert peak_bytes(photo, box) < 2 * photo.nbytes


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
