"""Tests of what a restored picture says about itself."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from core.images import Photo, encode_photo, read_photo
from core.provenance import SOFTWARE, SOURCE_TYPE, provenance

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
