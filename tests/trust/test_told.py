"""What errors of ours tell a client: that something is wrong, and nothing of objects, keys or settings."""

import json
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from store.vault import Vault
from tests.api.service import Service, serving


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of the test's own, which it may damage."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def _image(service: Service, damage: str) -> tuple[int, str, str]:
    """Ask for a photo after some damage; return status, the whole answer, and what the log says of it."""
    tenant = service.tenant()
    identity_id = tenant.identity()
    reference_id = tenant.reference(identity_id)["id"]
    (path,) = [path for path in (service.settings.data_dir / "blobs").rglob("*") if path.is_file()]
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        other = Vault([b"\1" * 32])
        service.parts.safe.vault._roots, service.parts.safe.vault._current = other._roots, other._current
    with capture_logs() as logged:
        answer = tenant.http.get(f"/v1/references/{reference_id}/image")
    told = answer.text.replace(answer.json()["request_id"], "")
    assert identity_id not in told, "the object's name begins with it"
    return answer.status_code, told, json.dumps(logged)


@pytest.mark.parametrize(
    ("damage", "status", "code", "known"),
    [
        ("missing", 410, "gone", "/reference/"),
        ("changed", 500, "damaged_object", "/reference/"),
        ("another root key", 500, "insecure_settings", "IDPREFER_ROOT_KEYS"),
    ],
)
def test_the_log_knows_more(service: Service, damage: str, status: int, code: str, known: str) -> None:
    """The answer has a fixed sentence and a code; which object or key it was is in the log alone."""
    answered, told, logged = _image(service, damage)
    assert (answered, json.loads(told)["code"]) == (status, code)
    assert known not in told
    assert "root key" not in told
    assert known in logged
