"""Tests of what a restored picture says about itself."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from core.images import Photo, encode_photo, read_photo, xmp_in
from core.provenance import SOFTWARE, SOURCE_TYPE, manifest_in, provenance

BUNDLE, ADAPTER = "a" * 64, "b" * 64
PHOTO = Photo(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_every_format_carries_it(form: str) -> None:
    """The IPTC's word, the software and the digests are read back from every format by Pillow, as valid XML."""
    data = encode_photo(PHOTO, form, provenance(BUNDLE, [ADAPTER]))
    packet = Image.open(io.BytesIO(data)).info["xmp"]
    (described,) = ElementTree.fromstring(packet.decode().strip("\ufeff")).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    values = {name.partition("}")[2]: value for name, value in described.attrib.items()}
    assert values["DigitalSourceType"] == SOURCE_TYPE
    assert values["CreatorTool"] == SOFTWARE
    assert (values["bundle"], values["adapters"]) == (BUNDLE, ADAPTER)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_pixels_are_untouched(form: str) -> None:
    """There is no visible mark: with and without provenance the pixels are equal to the bit, and so is every run."""
    with_it = encode_photo(PHOTO, form, provenance(BUNDLE))
    assert np.array_equal(read_photo(with_it).pixels, PHOTO.pixels)
    assert with_it == encode_photo(PHOTO, form, provenance(BUNDLE))


@pytest.mark.parametrize("digest", ["", "Dwight Evans", "A" * 64, "a" * 63, 'a"' * 32])
def test_digests_only(digest: str) -> None:
    """A name in the place of a digest is refused."""
    with pytest.raises(ValueError, match="SHA-256"):
        provenance(digest)
    with pytest.raises(ValueError, match="SHA-256"):
        provenance(BUNDLE, [digest])


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_a_manifest_is_found_again(form: str) -> None:
    """A signed statement's token travels in the packet of every format; without one nothing is found."""
    token = "eyJ0-_9" + "." + "s" * 86
    data = encode_photo(PHOTO, form, provenance(BUNDLE, [], token))
    assert manifest_in(xmp_in(data) or b"") == token
    plain = xmp_in(encode_photo(PHOTO, form, provenance(BUNDLE)))
    assert plain is not None
    assert manifest_in(plain) is None
    assert xmp_in(encode_photo(PHOTO, form)) is None
    ElementTree.fromstring((xmp_in(data) or b"").decode().strip("\ufeff"))  # still valid XML


def test_a_manifest_as_other_programs_write_it() -> None:
    """An attribute in other quotes, or an element, is the same; anything else is no token."""
    token = "a" * 9 + "." + "s" * 86
    for text in (f"idprefer:manifest='{token}'", f"<idprefer:manifest>\n {token} </idprefer:manifest>"):
        assert manifest_in(text.encode()) == token
    for text in (f'idprefer:manifest="{token}s"', f'idprefer:manifest="{token[:-1]}"', f'manifest="{token}"', '<"'):
        assert manifest_in(text.encode()) is None
    with pytest.raises(ValueError, match="token"):
        provenance(BUNDLE, [], 'a" onload="')


def test_a_packet_behind_the_pixels() -> None:
    """Some programs write a PNG's text last: it is found there too."""
    data = encode_photo(PHOTO, "png", provenance(BUNDLE))
    start = data.index(b"iTXt") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    last = data.index(b"IEND") - 4
    moved = data[:start] + data[end:last] + data[start:end] + data[last:]
    assert np.array_equal(read_photo(moved).pixels, PHOTO.pixels)
    assert xmp_in(data) is not None
    assert xmp_in(moved) == xmp_in(data)


def test_no_picture_has_no_packet() -> None:
    """Bytes that are no image have none, and break nothing."""
    assert xmp_in(b"no image") is None
    assert xmp_in(encode_photo(PHOTO, "png")[:40]) is None
