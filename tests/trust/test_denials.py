"""What a key was refused, its tenant can read later; and what it did with webhooks and sessions."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from store import audit, keys
from tests.api.operations import HOOK
from tests.api.service import Service, Tenant, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def tenant(service: Service) -> Tenant:
    """A tenant that may do everything."""
    return service.tenant()


def _chain(tenant: Tenant) -> list[dict[str, Any]]:
    """Return the tenant's audit events, oldest first."""
    return list(reversed(tenant.http.get("/v1/audit-events?limit=100").json()["data"]))


def _denials(tenant: Tenant) -> list[tuple[str, str, list[str]]]:
    events = [event for event in _chain(tenant) if event["action"] == "access.denied"]
    return [(event["actor"], event["target"], event["details"]["wanted"]) for event in events]


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


def test_a_key_that_wants_more_than_it_has(service: Service, tenant: Tenant) -> None:
    """Making, rotating or revoking a key of more scopes is refused within the endpoint, and in the log all the same."""
    weak = service.other_key(tenant, ("keys:admin",))
    one = f"/v1/api-keys/{tenant.key_id}"
    answers = [
        weak.http.post("/v1/api-keys", json={"name": "x", "scopes": ["keys:admin", "admin"]}),
        weak.http.post(f"{one}/rotate", json={}),
        weak.http.delete(one),
    ]
    assert [answer.json()["code"] for answer in answers] == ["forbidden"] * 3
    first = "identities:read"  # of the scopes that the other key has
    assert _denials(tenant) == [
        (weak.key_id, "POST /v1/api-keys", ["admin"]),
        (weak.key_id, "POST /v1/api-keys/{key_id}/rotate", [first]),
        (weak.key_id, "DELETE /v1/api-keys/{key_id}", [first]),
    ]
    assert tenant.http.get(one).json()["revoked_at"] is None
    assert {event["action"] for event in _chain(tenant)} == {"access.denied"}


def test_a_key_that_would_outlive_its_maker(service: Service, tenant: Tenant) -> None:
    """A key for an hour makes none for longer, by rotating one neither; one that names no end ends with its maker."""
    with service.parts.database.transaction(tenant.id) as session:
        row, token = keys.create(session, tenant.id, "for an hour", ["keys:admin"], 3600)
        lasting, _ = keys.create(session, tenant.id, "for ever", ["keys:admin"])
    hasty = service.client(token)
    wanted = {"name": "x", "scopes": ["keys:admin"]}
    own = hasty.get(f"/v1/api-keys/{row.id}").json()
    assert hasty.post("/v1/api-keys", json=wanted).json()["expires_at"] == own["expires_at"]
    assert hasty.post("/v1/api-keys", json={**wanted, "expires_in": 60}).status_code == 201
    assert hasty.post("/v1/api-keys", json={**wanted, "expires_in": 86_400}).status_code == 403
    assert hasty.post(f"/v1/api-keys/{lasting.id}/rotate", json={}).status_code == 403
    assert hasty.post(f"/v1/api-keys/{row.id}/rotate", json={}).status_code == 201
    assert [lacked for _, _, lacked in _denials(tenant)] == [["expires_at"]] * 2
    names = [made["name"] for made in tenant.http.get("/v1/api-keys?limit=100").json()["data"]]
    assert [names.count(name) for name in ("x", "for an hour", "for ever")] == [2, 2, 1]


def test_a_request_by_cookie_without_its_token(service: Service, tenant: Tenant) -> None:
    """What another site could have sent is in the log too, whatever its path holds; reading is no denial."""
    cookies = tenant.http.post("/v1/session").cookies
    with httpx2.Client(base_url=service.url, cookies=cookies) as client:
        assert client.get("/v1/identities").status_code == 200
        assert client.post("/v1/identities", json={"name": "Ada"}).status_code == 403
        assert client.delete("/v1/identities/%00%C3%A9" + "a" * 500).status_code == 403
    asked = [asked for _, asked, wanted in _denials(tenant) if wanted == ["x-csrf-token"]]
    assert asked == ["POST /v1/identities", "DELETE /v1/identities/??" + "a" * 183]


def test_webhooks_and_sessions_leave_a_trace(service: Service, tenant: Tenant) -> None:
    """A test event, one sent once more, a session that opens or closes: all are in the chain."""
    endpoint = tenant.http.post("/v1/webhook-endpoints", json={"url": HOOK}).json()["id"]
    delivery = tenant.http.post(f"/v1/webhook-endpoints/{endpoint}/test").json()["id"]
    assert tenant.http.post(f"/v1/deliveries/{delivery}/redeliver").status_code == 202
    opened = tenant.http.post("/v1/session")
    with httpx2.Client(base_url=service.url, cookies=opened.cookies) as client:
        assert client.delete("/v1/session", headers={"X-CSRF-Token": opened.json()["csrf_token"]}).status_code == 204
    events = [(event["action"], event["target"]) for event in _chain(tenant)][1:]
    session = events[2][1]
    assert events == [
        ("webhook_endpoint.tested", endpoint),
        ("webhook_delivery.repeated", delivery),
        ("session.opened", session),
        ("session.closed", session),
    ]
