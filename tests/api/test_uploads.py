"""Photos that are none, or too much of one: refused with a reason, and nothing of them is kept."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.limits import IMAGE_BYTES
from tests.api.hand import Hand
from tests.api.service import Tenant, png


def _animated() -> bytes:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _wide() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (9000, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def _many_pixels() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (8000, 8000)).save(buffer, "PNG")
    return buffer.getvalue()


def _huge() -> bytes:
    return png() + b"\0" * IMAGE_BYTES


def _part(name: str, file: bool) -> bytes:
    filename = '; filename="f"' if file else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\nx\r\n'.encode()


BAD = {
    "nothing": (b"", 422, "unreadable_image"),
    "text": (b"I am a photo", 422, "unreadable_image"),
    "gif": (png(format="GIF"), 422, "unreadable_image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "unreadable_image"),
    "truncated png": (png(side=64)[:3000], 422, "unreadable_image"),
    "truncated jpeg": (png(side=64, format="JPEG")[:700], 422, "unreadable_image"),
    "animated": (_animated(), 422, "unreadable_image"),
    "tiny": (png(side=16), 422, "unreadable_image"),
    "too wide": (_wide(), 413, "image_too_large"),
    "too many pixels": (_many_pixels(), 413, "image_too_large"),
    "too many bytes": (_huge(), 413, "image_too_large"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_photo_that_is_none(tenant: Tenant, name: str) -> None:
    """What is no ordinary photo is refused, whatever its name and type say."""
    data, status, code = BAD[name]
    answer = tenant.http.post("/v1/uploads", files={"file": ("photo.jpg", data, "image/jpeg")})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "got" in answer.json()["detail"]
    assert "wanted" in answer.json()["detail"]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_photo_of_every_format(tenant: Tenant, format: str) -> None:
    """JPEG, PNG and WebP come in; the answer says their size."""
    answer = tenant.http.post("/v1/uploads", files={"file": png(format=format)})
    assert answer.status_code == 201
    assert (answer.json()["width"], answer.json()["height"]) == (48, 48)


def test_a_body_beyond_the_limit(tenant: Tenant) -> None:
    """A body beyond the path's limit is 413 before it has been read whole, announced or not."""
    data = b"\0" * (IMAGE_BYTES + 2 * 2**20)
    assert tenant.http.post("/v1/uploads", files={"file": data}).json()["code"] == "too_large"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    chunks = iter([start, *(data[: 2**20] for _ in range(23)), b"\r\n--b--\r\n"])
    answer = tenant.http.post("/v1/uploads", content=chunks, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_thousands_of_parts(tenant: Tenant) -> None:
    """A form of thousands of parts is refused while it is read."""
    identity_id = tenant.identity()
    paths = ("/v1/uploads", "/v1/restorations", f"/v1/identities/{identity_id}/references")
    for path in paths:
        for kind in ("files", "fields"):
            lines = [_part(f"f{i}", file=kind == "files") for i in range(5000)]
            body = b"".join(lines) + b"--b--\r\n"
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            answer = tenant.http.post(path, content=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), path


@pytest.mark.parametrize(
    "body",
    [b"", b"--b", b"--b\r\n\r\n", b"--x\r\n", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'],
)
def test_forms_that_are_none(tenant: Tenant, body: bytes) -> None:
    """Half a form is a problem of the caller's."""
    for path in ("/v1/uploads", "/v1/restorations"):
        for kind in ("multipart/form-data; boundary=b", "multipart/form-data"):
            answer = tenant.http.post(path, content=body, headers={"Content-Type": kind})
            assert answer.status_code in {400, 422}
            assert answer.headers["content-type"] == "application/problem+json"


def test_more_photos_than_twenty(tenant: Tenant) -> None:
    """A request with more than twenty photos is refused whole."""
    identity_id = tenant.identity()
    answer = tenant.http.post(
        f"/v1/identities/{identity_id}/references", files=[("files", png(seed)) for seed in range(21)]
    )
    assert answer.status_code == 400
    assert tenant.http.get(f"/v1/identities/{identity_id}/references").json()["data"] == []


def test_one_bad_photo_among_good_ones(tenant: Tenant) -> None:
    """One unreadable photo refuses the request: nothing of it is kept."""
    identity_id = tenant.identity()
    files = [("files", png()), ("files", b"no photo")]
    answer = tenant.http.post(f"/v1/identities/{identity_id}/references", files=files)
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_image")
    assert tenant.http.get(f"/v1/identities/{identity_id}/references").json()["data"] == []


def test_a_photo_loses_its_metadata(tenant: Tenant) -> None:
    """Orientation is applied, everything else of EXIF is gone, the pixels are the same."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a phone"
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    photo = tenant.http.post(
        f"/v1/identities/{tenant.identity()}/references", files=[("files", ("a.png", buffer.getvalue()))]
    ).json()["data"][0]
    assert (photo["width"], photo["height"], photo["filename"]) == (40, 60, "a.png")
    kept = tenant.http.get(f"/v1/references/{photo['id']}/image").content
    assert b"a phone" not in kept
    with Image.open(io.BytesIO(kept)) as image:
        assert np.array_equal(np.asarray(image), np.rot90(pixels, -1))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\x00b.png", "\u202egnp.exe", "x" * 500])
def test_a_files_name_is_no_path(tenant: Tenant, name: str) -> None:
    """A file's name is kept for people to recognise it by, without what could mislead."""
    answer = tenant.http.post(f"/v1/identities/{tenant.identity()}/references", files=[("files", (name, png()))])
    kept = answer.json()["data"][0]["filename"]
    assert answer.status_code == 202
    assert kept is None or (len(kept) <= 200 and kept.isprintable())


RESTORATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no photo": ({"files": {"identity_id": (None, "I")}}, "no photo"),
    "two people": ({"data": {"identity_id": "I", "faces": "[]"}, "files": {"image": png()}}, "faces"),
    "nobody": ({"data": {"tier": "auto"}, "files": {"image": png()}}, "no person"),
    "the same twice": (
        {"data": {"faces": '[{"identity_id": "I"}, {"identity_id": "I"}]'}, "files": {"image": png()}}, "twice",
    ),
    "a flat box": (
        {"data": {"faces": '[{"identity_id": "I", "box": [5, 5, 5, 9]}]'}, "files": {"image": png()}}, "area",
    ),
    "another file": ({"data": {"identity_id": "I"}, "files": {"photo": png()}}, "named `image`"),
    "two files": ({"data": {"identity_id": "I"}, "files": [("image", png()), ("image", png())]}, "one file"),
    "an unknown field": ({"data": {"identity_id": "I", "colour": "red"}, "files": {"image": png()}}, "colour"),
    "a wrong number": ({"data": {"identity_id": "I", "fidelity": "2"}, "files": {"image": png()}}, "fidelity"),
    "broken faces": ({"data": {"faces": "[{"}, "files": {"image": png()}}, "strict"),
    "json without a photo": ({"json": {"identity_id": "I"}}, "no photo"),
}  # fmt: skip


@pytest.mark.parametrize("name", RESTORATIONS)
def test_a_restoration_that_contradicts_itself(tenant: Tenant, name: str) -> None:
    """A wish that cannot be meant is refused, and the problem says what was wanted."""
    sent, said = RESTORATIONS[name]
    answer = tenant.http.post("/v1/restorations", **sent)
    assert answer.status_code in {400, 422}, answer.text
    assert said in answer.text


def test_a_restoration_of_an_earlier_upload(tenant: Tenant, hand: Hand) -> None:
    """A photo sent ahead can be restored by its id, as JSON, with two people in it."""
    people = [tenant.identity() for _ in range(2)]
    for number, identity_id in enumerate(people):
        tenant.reference(identity_id, seed=number)
    hand.work("assess")
    upload = tenant.http.post("/v1/uploads", files={"file": png(7)}).json()
    faces = [{"identity_id": people[0], "box": [1, 2, 30, 40.5]}, {"identity_id": people[1]}]
    answer = tenant.http.post("/v1/restorations", json={"upload_id": upload["id"], "faces": faces, "format": "webp"})
    assert answer.status_code == 202
    shown = answer.json()["faces"]
    assert [face["identity_id"] for face in shown] == people
    assert shown[0]["box"] == [1, 2, 30, 40.5]
    hand.work("restore")
