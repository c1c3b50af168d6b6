"""Tests of photos in and out: formats, limits, orientation, colour profiles, files that are never half-written."""

import io
import os
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from core.errors import ImageTooLarge, InvalidOption, UnreadableImage
from core.images import Photo, encode_photo, pack_photo, read_photo, read_photo_file, write_atomically
from core.photo_limits import MAX_BYTES, MAX_PIXELS_OF

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """Return a picture whose four corners differ."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Return a picture's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "HEIF"])
def test_formats(form: str) -> None:
    """The formats that cameras, browsers and phones write are all read."""
    pillow_heif.register_heif_opener()
    options: dict[str, object] = {} if form == "PNG" else {"quality": 95}
    got = read_photo(encoded(picture(), form, **options))
    assert got.size == (64, 48)
    assert np.abs(got.pixels.astype(int) - np.asarray(picture())).mean() < (1 if form == "PNG" else 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int) -> None:
    """A photo comes out upright, whichever way the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = read_photo(encoded(picture(), "PNG", exif=exif))
    assert got.size == ((64, 48) if orientation < 5 else (48, 64))
    corner = {1: (0, 0), 2: (0, 63), 3: (47, 63), 4: (47, 0), 5: (0, 0), 6: (0, 47), 7: (63, 47), 8: (63, 0)}
    assert tuple(got.pixels[corner[orientation]]) == tuple(np.asarray(picture())[0, 0])


def test_profile_comes_along() -> None:
    """A valid RGB profile is kept and written out again, whatever the format."""
    photo = read_photo(encoded(picture(), "JPEG", icc_profile=SRGB))
    assert photo.icc_profile == SRGB
    for form in ("png", "jpeg", "webp"):
        assert Image.open(io.BytesIO(encode_photo(photo, form))).info["icc_profile"] == SRGB


def test_a_palette_has_a_profile_too() -> None:
    """The colours of a palette are RGB, and an RGB profile says which."""
    assert read_photo(encoded(picture().quantize(16), "PNG", icc_profile=SRGB)).icc_profile == SRGB


# With names of their own: the profile holds the second it was made in, and two processes must see the same tests.
@pytest.mark.parametrize("profile", [b"", b"no profile", SRGB[:100]], ids=["empty", "none", "cut"])
def test_broken_profile_is_dropped(profile: bytes) -> None:
    """A profile that is none is left behind, and the photo is read as sRGB."""
    assert read_photo(encoded(picture(), "PNG", icc_profile=profile)).icc_profile is None


def test_profile_of_another_space_is_dropped() -> None:
    """A grey picture's profile does not fit the RGB pixels that come out."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert read_photo(encoded(picture(), "PNG", icc_profile=lab)).icc_profile is None
    assert read_photo(encoded(picture().convert("L"), "PNG", icc_profile=SRGB)).icc_profile is None


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    """Grey, palettes, print colours and transparency all come out as (H, W, 3) uint8."""
    form = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new("I;16", (64, 48), 30_000) if mode == "I;16" else picture().convert(mode)
    got = read_photo(encoded(image, form)).pixels
    assert got.shape == (48, 64, 3)
    assert got.dtype == np.uint8


def test_deep_grey_keeps_its_brightness() -> None:
    """A 16-bit grey of a half is an 8-bit grey of a half, not white."""
    got = read_photo(encoded(Image.new("I;16", (64, 48), 32_768), "PNG")).pixels
    assert np.abs(got.astype(int) - 128).max() <= 1


def test_deep_grey_with_a_transparent_level() -> None:
    """A 16-bit grey picture, one level of which is transparent, keeps its brightness, and that level is white."""
    levels = np.full((48, 64), 32_768, np.uint16)
    levels[:, :8] = 5
    got = read_photo(encoded(Image.fromarray(levels), "PNG", transparency=5)).pixels
    assert (got[:, :8] == 255).all()
    assert np.abs(got[:, 8:].astype(int) - 128).max() <= 1


def test_transparency_is_laid_over_white() -> None:
    """What cannot be seen is white, not whatever colour hides there."""
    image = Image.new("RGBA", (64, 48), (10, 20, 30, 0))
    assert (read_photo(encoded(image, "PNG")).pixels == 255).all()


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"<svg/>", encoded(picture(), "BMP")])
def test_no_image(data: bytes) -> None:
    """Bytes of another kind are refused with the formats that are wanted."""
    with pytest.raises(UnreadableImage, match="wanted"):
        read_photo(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_short(form: str, share: float) -> None:
    """Half a photo is refused rather than greyed out."""
    data = encoded(picture(200, 200), form)
    with pytest.raises(UnreadableImage, match="wanted"):
        read_photo(data[: int(len(data) * share)])


def test_sides() -> None:
    """Photos too small, too long and too large are refused before a pixel is decoded."""
    with pytest.raises(UnreadableImage, match="31x48"):
        read_photo(encoded(picture(31), "PNG"))
    with pytest.raises(ImageTooLarge, match="8193"):
        read_photo(encoded(Image.new("L", (8193, 40)), "PNG"))
    with pytest.raises(ImageTooLarge, match="40,000,000"):
        read_photo(encoded(Image.new("1", (8000, 8000)), "PNG"))


def test_heic_has_fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A HEIC picture, slow to decode, is refused at fewer pixels than another, with a way out."""
    monkeypatch.setitem(MAX_PIXELS_OF, "HEIF", 64 * 64)
    larger = Image.new("RGB", (64, 65))
    with pytest.raises(ImageTooLarge, match="4,096 pixels; make it smaller, or a JPEG"):
        read_photo(encoded(larger, "HEIF"))
    assert read_photo(encoded(larger, "JPEG")).size == (64, 65)


def test_bytes() -> None:
    """More bytes than are accepted are refused unread."""
    with pytest.raises(ImageTooLarge, match="20,971,520"):
        read_photo(bytes(MAX_BYTES + 1))


def test_our_own_photos_have_no_limit() -> None:
    """A photo kept by ourselves is read back whole, whatever its size, with its pixels to the bit."""
    noise = np.random.default_rng(0).integers(0, 255, (2700, 2700, 3)).astype(np.uint8)
    kept = pack_photo(Photo(noise))
    assert len(kept) > MAX_BYTES
    with pytest.raises(ImageTooLarge):
        read_photo(kept)
    assert (read_photo(kept, limit_bytes=None).pixels == noise).all()


def test_several_frames() -> None:
    """An animation is refused."""
    data = encoded(picture(), "WEBP", save_all=True, append_images=[picture().rotate(180)])
    with pytest.raises(UnreadableImage, match="2 frames"):
        read_photo(data)


def mpo(**options: object) -> bytes:
    """Return a JPEG with two more pictures behind it, as dual cameras and portrait modes write them."""
    more = [picture().rotate(180), picture(40, 40)]
    return encoded(picture(), "MPO", save_all=True, append_images=more, quality=95, **options)


def test_a_jpeg_with_more_pictures_behind_it() -> None:
    """The first is the photo, upright and with its colour profile; the others are no frames of an animation."""
    turned = Image.Exif()
    turned[0x0112] = 6
    first = read_photo(encoded(picture(), "JPEG", quality=95, exif=turned, icc_profile=SRGB))
    got = read_photo(mpo(exif=turned, icc_profile=SRGB))
    assert got.size == first.size == (48, 64)
    assert np.abs(got.pixels.astype(int) - first.pixels).max() == 0
    assert got.icc_profile == SRGB


def test_a_jpeg_with_more_pictures_keeps_to_the_limits_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scans, segments and pixels are counted as any other JPEG's are."""
    data = mpo()
    scan, end = data.index(b"\xff\xda"), data.index(b"\xff\xd9")
    with pytest.raises(UnreadableImage, match="scans"):
        read_photo(data[:end] + data[scan:end] * 40 + data[end:])
    with pytest.raises(UnreadableImage, match="parts"):
        read_photo(data[:2] + b"\xff\xfe\0\2" * 1001 + data[2:])
    monkeypatch.setattr("core.images.MAX_PIXELS", 64 * 47)
    with pytest.raises(ImageTooLarge, match="64x48"):
        read_photo(data)


def test_a_jpeg_of_many_scans() -> None:
    """A JPEG that repeats its scans is refused before it is decoded; a progressive one is not."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    assert read_photo(data).size == (64, 64)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(UnreadableImage, match="scans"):
        read_photo(data[:-2] + data[last:-2] * 40 + data[-2:])


def test_what_lies_behind_a_jpeg_is_no_scan_of_it() -> None:
    """More pictures and a film do not count; a thumbnail or a table that holds an end hides none of the photo's."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    assert read_photo(data + 5 * data + b"\xff\xda" * 77).size == (64, 64)
    last = data.rindex(b"\xff\xda")
    hidden = b"\xff\xe1\0\6\xff\xda\xff\xd9"
    with pytest.raises(UnreadableImage, match="scans"):
        read_photo(data[:2] + hidden + data[2:-2] + data[last:-2] * 40 + data[-2:])
    table = b"\xff\xfe\0\4\xff\xd9"
    with pytest.raises(UnreadableImage, match="scans"):
        read_photo(data[:-2] + (table + data[last:-2]) * 40 + data[-2:])
    with pytest.raises(UnreadableImage, match="parts"):
        read_photo(data[:-2] + table * 1001 + data[-2:])


def test_file_errors_name_the_file(tmp_path: Path) -> None:
    """A file that is not there, a folder, and a file that is no image are all named."""
    (tmp_path / "text.jpg").write_text("no image")
    for path in (tmp_path / "nobody.jpg", tmp_path, tmp_path / "text.jpg"):
        with pytest.raises(UnreadableImage, match=path.name):
            read_photo_file(path)


def test_enormous_file_is_not_read(tmp_path: Path) -> None:
    """A file of gigabytes is refused without being read into memory."""
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(50 << 30)
    with pytest.raises(ImageTooLarge, match="huge"):
        read_photo_file(path)


def test_lossless_formats_are_lossless() -> None:
    """PNG and WebP give the pixels back to the bit, JPEG nearly."""
    photo = Photo(np.asarray(picture()))
    for form in ("png", "webp"):
        assert np.array_equal(read_photo(encode_photo(photo, form)).pixels, photo.pixels)
    assert np.abs(read_photo(encode_photo(photo, "jpeg")).pixels.astype(int) - photo.pixels).mean() < 4


def test_metadata_is_left_behind() -> None:
    """What a camera wrote about time and place does not come out again."""
    exif = Image.Exif()
    exif[0x010F], exif[0x9003] = "Camera", "2020:01:01 00:00:00"
    photo = read_photo(encoded(picture(), "JPEG", exif=exif, comment=b"at home"))
    for form in ("png", "jpeg", "webp"):
        data = encode_photo(photo, form)
        assert b"Camera" not in data
        assert b"at home" not in data
        assert not Image.open(io.BytesIO(data)).getexif()


def test_unknown_format() -> None:
    """A format that cannot be written names those that can."""
    with pytest.raises(InvalidOption, match="png, jpeg, webp"):
        encode_photo(Photo(np.zeros((40, 40, 3), np.uint8)), "gif")


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails midway leaves the old file, and nothing half-written beside it."""
    path = tmp_path / "new" / "file.bin"
    write_atomically(path, b"old")

    def broken(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    """A written file has the permissions of any other new file of this person's, not a temporary one's."""
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_bytes(b"x")
    write_atomically(ours, b"x")
    assert ours.stat().st_mode == plain.stat().st_mode
