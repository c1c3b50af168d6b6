"""What a key was refused, its tenant can read later."""

from collections.abc import Iterator

import pytest

from store import audit
from tests.api.service import Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def test_a_denial_is_in_the_audit_log(service: Service) -> None:
    """A key without the scope is refused, and its tenant's chain says which key wanted what; nobody else's does."""
    tenant, stranger = service.tenant(), service.tenant()
    weak = service.other_key(tenant, ("identities:read",))
    assert weak.http.post("/v1/identities", json={"name": "Ada"}).status_code == 403
    (event,) = tenant.http.get("/v1/audit-events").json()["data"]
    assert (event["action"], event["actor"], event["target"]) == ("access.denied", weak.key_id, "POST /v1/identities")
    assert event["details"] == {"wanted": ["identities:write"]}
    assert stranger.http.get("/v1/audit-events").json()["data"] == []
    with service.parts.database.transaction(tenant.id) as session:
        assert audit.broken_link(session, tenant.id) is None
