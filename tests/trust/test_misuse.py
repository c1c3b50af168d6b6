"""What the service must not be good for: finding people, telling faces apart for others, proving a picture real."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from store import use_policy
from tests.api.hand import Hand
from tests.api.operations import Makings
from tests.api.service import Service, png, serving

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
BIOMETRIC = ("embedding", "descriptor", "template", "landmark", "vector", "keypoint", "faceprint", "feature")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def hand(service: Service) -> Hand:
    """Does what a worker does."""
    return Hand(service)


def _fields(told: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every property of every schema of the document, and where it is."""
    if isinstance(told, dict):
        for name, value in told.get("properties", {}).items() if isinstance(told.get("properties"), dict) else ():
            yield f"{at}.{name}", value
        for name, value in told.items():
            yield from _fields(value, f"{at}.{name}")
    elif isinstance(told, list):
        for value in told:
            yield from _fields(value, at)


def _numbers_without_bound(schema: Any) -> bool:
    """Whether a schema is a list of numbers of any length: as an embedding would be."""
    is_list = isinstance(schema, dict) and schema.get("type") == "array"
    return is_list and schema.get("items", {}).get("type") in ("number", "integer") and "maxItems" not in schema


def test_no_embedding_in_the_document() -> None:
    """No answer and no request has a field of that name, nor a list of numbers that could be one."""
    fields = dict(_fields(DOCUMENT))
    assert len(fields) > 100
    assert [at for at in fields if any(word in at.rpartition(".")[2].lower() for word in BIOMETRIC)] == []
    lists = [
        at for at, schema in fields.items() for one in (schema, *schema.get("anyOf", ())) if _numbers_without_bound(one)
    ]
    assert [at for at in lists if not at.endswith(".box")] == []


def test_nobody_is_searched_for() -> None:
    """No operation that takes a picture answers who is in it: each names the person, or asks of the picture only."""
    taking = {
        told["operationId"]
        for methods in DOCUMENT["paths"].values()
        for told in methods.values()
        if "multipart/form-data" in told.get("requestBody", {}).get("content", {})
    }
    assert taking == {"add_references", "import_adapter", "create_upload", "start_restoration", "verify_image"}
    start = json.dumps(DOCUMENT["components"]["schemas"])
    assert "identity_id" in start
    assert not [path for path in DOCUMENT["paths"] for word in ("search", "match", "identify") if word in path]


def test_no_embedding_in_an_answer(service: Service, hand: Hand) -> None:
    """Nor is there a longer list of numbers than a box's in what is answered of a person with everything."""
    tenant, makings = service.tenant(), Makings(service, hand)
    ids = {
        part: makings.id_of(part, tenant) for part in ("identity_id", "reference_id", "adapter_id", "restoration_id")
    }
    paths = [f"/v1/{kind}/{ids[part]}" for kind, part in (
        ("identities", "identity_id"), ("references", "reference_id"), ("adapters", "adapter_id"),
        ("restorations", "restoration_id"),
    )]  # fmt: skip
    for path in [*paths, "/v1/jobs", "/v1/audit-events"]:
        assert _longest(tenant.http.get(path).json()) <= 4, path


def _longest(told: Any) -> int:
    """Return the length of the longest list of numbers."""
    if isinstance(told, dict):
        return max((_longest(value) for value in told.values()), default=0)
    if isinstance(told, list):
        numbers = len(told) if told and all(isinstance(one, int | float) for one in told) else 0
        return max([numbers, *map(_longest, told)])
    return 0


def test_a_result_is_known_to_its_owner_only(service: Service, hand: Hand) -> None:
    """The owner's result is known by its pixels in any lossless file; to anybody else it is unknown, never a no."""
    owner, stranger = service.tenant(), service.tenant()
    restoration_id = Makings(service, hand).restoration(owner)
    picture = owner.http.get(f"/v1/restorations/{restoration_id}/image").content
    again = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.save(again, "WEBP", lossless=True)
        pixels = np.array(image.convert("RGB"))
    for data in (picture, again.getvalue()):
        assert _verdict(owner, data)["restoration_id"] == restoration_id
        assert _verdict(stranger, data) == {"verdict": "unknown", "by": None, "restoration_id": None, "details": {}}
    pixels[0, 0, 0] ^= 1
    changed = io.BytesIO()
    Image.fromarray(pixels).save(changed, "PNG")
    for data in (changed.getvalue(), png(77)):
        assert _verdict(owner, data)["verdict"] == "unknown"
    told = DOCUMENT["components"]["schemas"]["Verification"]["properties"]["verdict"]
    assert set(told["enum"]) == {"restored_here", "unknown"}


def _verdict(tenant: Any, data: bytes) -> dict[str, Any]:
    answer = tenant.http.post("/v1/verify", files={"file": data})
    assert answer.status_code == 200
    return dict(answer.json())


def test_every_consent_names_the_rules_of_use(service: Service) -> None:
    """The digest in a consent is that of the file in the repository."""
    tenant = service.tenant()
    (consent,) = tenant.http.get(f"/v1/identities/{tenant.identity()}/consents").json()["data"]
    text = (ROOT / "docs" / "use-policy.md").read_bytes()
    assert consent["policy_sha256"] == use_policy.SHA256 == hashlib.sha256(text).hexdigest()
