"""The signed manifest in a picture: known to its owner even when every row is gone, nobody else; not to be forged."""

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.images import Photo, read_photo, xmp_in
from core.provenance import SOURCE_TYPE, manifest_in
from store import manifests
from store.ids import new_id
from store.manifests import Claim
from store.vault import Vault
from tests.api.hand import Hand
from tests.api.operations import Makings
from tests.api.service import Service, Tenant, serving
from worker.labelling import Label, labelled

PAGE = Path(__file__).parents[2] / "docs" / "security" / "provenance.md"
PHOTO = Photo(np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8))
UNKNOWN: dict[str, object] = {"verdict": "unknown", "by": None, "restoration_id": None, "details": {}}
NEVER = new_id("res")
"""A restoration of which there is no row any more."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def owner(service: Service) -> Tenant:
    """Whose pictures these are."""
    return service.tenant()


def _picture(service: Service, tenant: Tenant, format: str = "png", restoration_id: str = NEVER) -> bytes:
    label = Label(service.parts.safe.vault, tenant.id, restoration_id, "a" * 64, ["b" * 64])
    return labelled(PHOTO, format, label, "result")[0]


def _verdict(tenant: Tenant, data: bytes) -> dict[str, object]:
    answer = tenant.http.post("/v1/verify", files={"file": data})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_the_file_is_enough(service: Service, owner: Tenant, format: str) -> None:
    """Without any row its owner is told by the file alone where it came from; anybody else hears `unknown`."""
    data = _picture(service, owner, format)
    told = _verdict(owner, data)
    assert (told["verdict"], told["by"], told["restoration_id"]) == ("restored_here", "manifest", NEVER)
    details = told["details"]
    assert isinstance(details, dict)
    assert (details["bundle_digest"], details["adapter_digests"], details["picture"]) == (
        "a" * 64,
        ["b" * 64],
        "result",
    )
    assert _verdict(service.tenant(), data) == UNKNOWN


def test_after_the_row_is_deleted(service: Service, owner: Tenant) -> None:
    """A restoration that is deleted, its row and its pixels' digest forgotten, is known by the file that was kept."""
    restoration_id = Makings(service, Hand(service)).restoration(owner)
    data = _picture(service, owner, restoration_id=restoration_id)
    assert owner.http.delete(f"/v1/restorations/{restoration_id}").status_code == 204
    assert _verdict(owner, data)["restoration_id"] == restoration_id


@pytest.mark.parametrize("container", ["PNG", "WEBP", "HEIF"])
def test_in_another_container(service: Service, owner: Tenant, container: str) -> None:
    """Written anew without loss, with its metadata, it is still known; without them it is `unknown`, never a no."""
    pillow_heif.register_heif_opener()
    with Image.open(io.BytesIO(_picture(service, owner, "jpeg"))) as image:
        packet = image.info["xmp"]
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        options = {
            "PNG": {"pnginfo": texts}, "WEBP": {"lossless": True, "xmp": packet},
            "HEIF": {"quality": -1, "chroma": 444, "matrix_coefficients": 0, "xmp": packet},
        }[container]  # fmt: skip
        again, stripped = io.BytesIO(), io.BytesIO()
        image.save(again, container, **options)
        Image.fromarray(np.asarray(image)).save(stripped, "PNG")
    assert _verdict(owner, again.getvalue())["by"] == "manifest"
    assert _verdict(owner, stripped.getvalue()) == UNKNOWN


def test_a_manifest_on_another_picture(service: Service, owner: Tenant) -> None:
    """A genuine manifest cut out and put onto other pixels, even one bit away, vouches for nothing."""
    packet = xmp_in(_picture(service, owner))
    assert packet is not None
    texts, pixels = PngInfo(), PHOTO.pixels.copy()
    texts.add_itxt("XML:com.adobe.xmp", packet.decode())
    pixels[0, 0, 0] ^= 1
    forged = io.BytesIO()
    Image.fromarray(pixels).save(forged, "PNG", pnginfo=texts)
    assert _verdict(owner, forged.getvalue()) == UNKNOWN


def _tokens(service: Service, owner: Tenant) -> tuple[Vault, str]:
    token = manifest_in(xmp_in(_picture(service, owner)) or b"")
    assert token is not None
    return service.parts.safe.vault, token


def test_no_byte_of_it_can_be_changed(service: Service, owner: Tenant) -> None:
    """Every single character changed, cut, or doubled makes it nobody's."""
    vault, token = _tokens(service, owner)
    genuine = manifests.read(vault, owner.id, token)
    assert genuine is not None
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        found = manifests.read(vault, owner.id, changed)
        # The last character of each half carries bits beyond the last byte: another spelling of the same bytes.
        assert found is None or found == genuine
        assert found is None or token[place + 1 : place + 2] in ("", ".")
    for broken in ("", ".", "..", token[:-1], token + ".", "é." + token, token.replace(".", "")):
        assert manifests.read(vault, owner.id, broken) is None


def test_signed_by_somebody_else(owner: Tenant) -> None:
    """A claim signed under another installation's root key is not ours."""
    claim = Claim(NEVER, "result", "c" * 64, "a" * 64, [], manifests.this_second())
    ours, theirs = Vault([bytes(range(32))]), Vault([bytes(range(1, 33))])
    assert manifests.read(ours, owner.id, manifests.signed(ours, owner.id, claim)) == claim
    assert manifests.read(ours, owner.id, manifests.signed(theirs, owner.id, claim)) is None
    assert manifests.read(ours, "ten_other", manifests.signed(ours, owner.id, claim)) is None


def test_after_a_new_root_key(owner: Tenant) -> None:
    """What was signed under the old root key is known as long as that key is listed."""
    claim = Claim(NEVER, "result", "c" * 64, "a" * 64, [], manifests.this_second())
    old, new = bytes(range(32)), bytes(range(1, 33))
    token = manifests.signed(Vault([old]), owner.id, claim)
    assert manifests.read(Vault([new, old]), owner.id, token) == claim
    assert manifests.read(Vault([new]), owner.id, token) is None
    keys = manifests.public_keys(Vault([new, old]))
    assert keys == [*manifests.public_keys(Vault([new])), *manifests.public_keys(Vault([old]))]


def test_it_names_nobody(service: Service, owner: Tenant) -> None:
    """No tenant is in it, and two results of one tenant have no mark in common."""
    vault, token = _tokens(service, owner)
    claim = manifests.read(vault, owner.id, token)
    assert claim is not None
    other = manifests.signed(vault, owner.id, replace(claim, restoration_id=new_id("res")))
    payloads = [_payload(each) for each in (token, other)]
    assert owner.id not in json.dumps(payloads)
    assert payloads[0]["owner"] != payloads[1]["owner"]
    assert set(payloads[0]) == {"type", *claim.as_dict(), "owner"}


def _payload(token: str) -> dict[str, object]:
    text = token.partition(".")[0]
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def test_anybody_can_check_the_signature(service: Service, owner: Tenant, tmp_path: Path) -> None:
    """The page's recipe, as it stands there, finds a manifest genuine by the published key, and a forgery not."""
    with service.client(None) as stranger:
        published = stranger.get("/.well-known/idprefer-manifest-keys").json()
    assert published["type"] == manifests.TYPE
    (recipe,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "restored.png"
    names = {"path": str(path), "keys": published["keys"]}
    path.write_bytes(_picture(service, owner))
    exec(compile(recipe, str(PAGE), "exec"), names)
    assert names["genuine"] is True
    assert names["claim"]["restoration_id"] == NEVER
    other = Photo(255 - PHOTO.pixels)
    label = Label(Vault([bytes(32)]), owner.id, NEVER, "a" * 64, [])
    for forgery in (labelled(other, "png", label, "result")[0], _swapped(service, owner)):
        path.write_bytes(forgery)
        exec(compile(recipe, str(PAGE), "exec"), names)
        assert names["genuine"] is False


def _swapped(service: Service, owner: Tenant) -> bytes:
    """Return other pixels with a genuine manifest."""
    packet, texts, buffer = xmp_in(_picture(service, owner)) or b"", PngInfo(), io.BytesIO()
    texts.add_itxt("XML:com.adobe.xmp", packet.decode())
    Image.fromarray(255 - PHOTO.pixels).save(buffer, "PNG", pnginfo=texts)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_content_credentials(service: Service, owner: Tenant, format: str) -> None:
    """With the option a C2PA reader finds the file whole, the claim in it, no thumbnail; a changed byte is found."""
    label = Label(service.parts.safe.vault, owner.id, NEVER, "a" * 64, [], credentials=True)
    data, digest = labelled(PHOTO, format, label, "result")
    state, told = _read_by_c2pa(data, format)
    assert state == "Valid"
    source, token = told["c2pa.actions.v2"]["actions"][0]["digitalSourceType"], told["idprefer.manifest"]["token"]
    assert source == SOURCE_TYPE
    claim = manifests.read(service.parts.safe.vault, owner.id, token)
    assert claim is not None
    assert claim.pixels_sha256 == digest
    assert not [name for name in told if "thumbnail" in name]
    assert _verdict(owner, data)["by"] == "manifest"
    plain = labelled(PHOTO, format, replace(label, credentials=False), "result")[0]
    assert np.array_equal(read_photo(data).pixels, read_photo(plain).pixels)
    assert len(data) < len(plain) + 8192
    at = data.index(b"CreatorTool")
    assert _read_by_c2pa(data[:at] + b"X" + data[at + 1 :], format)[0] == "Invalid"


def _read_by_c2pa(data: bytes, format: str) -> tuple[str, dict[str, Any]]:
    """Return what a C2PA reader makes of a file: its state, and the assertions by their labels."""
    with c2pa.Reader(f"image/{format}", io.BytesIO(data)) as reader:
        told = json.loads(reader.json())
    found = told["manifests"][told["active_manifest"]]["assertions"]
    return told["validation_state"], {one["label"]: one["data"] for one in found}
