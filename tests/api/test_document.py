"""The OpenAPI document: committed, whole, stable; and the API loads quickly, without torch."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.write_document import as_text, document
from tests.api.operations import DOCUMENT
from tests.api.service import SCOPES, Service

ROOT = Path(__file__).parent.parent.parent
HEAVY = {"torch", "celery", "numpy", "alembic", "minio"}
CODE = f"import sys, api.app, api.parts; sys.exit(bool({HEAVY} & set(sys.modules)))"


def test_the_committed_document_is_this_codes() -> None:
    """docs/openapi.json is what this code makes; when it drifts: python -m api.write_document docs/openapi.json."""
    assert DOCUMENT.read_text() == as_text(document())


def test_it_is_served(service: Service) -> None:
    """The document is public, and the one that is committed."""
    with service.client(None) as client:
        assert client.get("/openapi.json").json() == json.loads(DOCUMENT.read_text())


def test_every_reference_leads_somewhere() -> None:
    """No $ref of the document dangles."""
    text = DOCUMENT.read_text()
    known = json.loads(text)["components"]["schemas"]
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= set(known)


def test_operation_ids_are_plain_and_unique() -> None:
    """Operation ids are the names of functions: unique, and no path in them."""
    paths = json.loads(DOCUMENT.read_text())["paths"]
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() and name.islower() for name in ids)


def test_every_route_names_its_scope() -> None:
    """Every operation of /v1 but the session's own needs a scope that keys can have."""
    for path, methods in json.loads(DOCUMENT.read_text())["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1") and path != "/v1/session":
                assert operation["x-scopes"]
                assert set(operation["x-scopes"]) <= set(SCOPES)


def test_the_api_loads_without_torch() -> None:
    """`import api.app` loads neither torch nor celery, nor what only few requests need."""
    assert subprocess.run([sys.executable, "-c", CODE], cwd=ROOT).returncode == 0


@pytest.mark.prove
def test_the_api_loads_within_a_second() -> None:
    """`import api.app` takes less than a second, the best of five times."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import api.app"], cwd=ROOT, check=True)
        times.append(time.perf_counter() - started)
    assert min(times) < 1
