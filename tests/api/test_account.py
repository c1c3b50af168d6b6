"""A tenant's own things: keys, pages of lists, usage, the audit log."""

from datetime import UTC, datetime, timedelta

import pytest

from store import audit, operators
from tests.api.hand import Hand
from tests.api.service import Service, Tenant

READ = {"name": "reader", "scopes": ["identities:read"]}


def test_a_key_is_shown_once(service: Service, tenant: Tenant) -> None:
    """A new key works; afterwards it is shown without its text."""
    made = tenant.http.post("/v1/api-keys", json=READ).json()
    with service.client(made["key"]) as reader:
        assert reader.get("/v1/identities").status_code == 200
        assert reader.post("/v1/identities", json={"name": "A"}).status_code == 403
    shown = tenant.http.get(f"/v1/api-keys/{made['id']}").json()
    assert "key" not in shown
    assert shown["last_used_at"] is not None


def test_a_key_gives_no_more_than_it_has(service: Service, tenant: Tenant) -> None:
    """A key cannot make another that may do more than itself."""
    limited = service.other_key(tenant, ("keys:admin", "identities:read"))
    assert limited.http.post("/v1/api-keys", json=READ).status_code == 201
    answer = limited.http.post("/v1/api-keys", json={"name": "more", "scopes": ["identities:write"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert limited.http.post(f"/v1/api-keys/{tenant.key_id}/rotate", json={}).status_code == 403


def test_a_rotated_key_works_on_for_the_overlap(service: Service, tenant: Tenant) -> None:
    """After a rotation both keys work, or only the new one if no overlap was wanted."""
    made = tenant.http.post("/v1/api-keys", json=READ).json()
    successor = tenant.http.post(f"/v1/api-keys/{made['id']}/rotate", json={"overlap_seconds": 600}).json()
    for token in (made["key"], successor["key"]):
        with service.client(token) as client:
            assert client.get("/v1/identities").status_code == 200
    last = tenant.http.post(f"/v1/api-keys/{successor['id']}/rotate", json={"overlap_seconds": 0}).json()
    with service.client(successor["key"]) as client:
        assert client.get("/v1/identities").status_code == 401
    with service.client(last["key"]) as client:
        assert client.get("/v1/identities").status_code == 200


def test_a_revoked_key_ends_at_once(service: Service, tenant: Tenant) -> None:
    """A revoked key is 401 from the next request on, and stays in the list with its end."""
    made = tenant.http.post("/v1/api-keys", json=READ).json()
    assert tenant.http.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    with service.client(made["key"]) as client:
        assert client.get("/v1/identities").status_code == 401
    assert tenant.http.get(f"/v1/api-keys/{made['id']}").json()["revoked_at"] is not None


def test_a_suspended_tenant_is_locked_out(service: Service, tenant: Tenant, stranger: Tenant) -> None:
    """The keys of a suspended tenant stop working, and work again afterwards."""
    path = f"/v1/admin/tenants/{tenant.id}"
    assert stranger.http.patch(path, json={"suspended": True}).json()["suspended"] is True
    assert tenant.http.get("/v1/usage").status_code == 401
    stranger.http.patch(path, json={"suspended": False})
    assert tenant.http.get("/v1/usage").status_code == 200


def test_pages_lead_through_a_list_once(tenant: Tenant) -> None:
    """Pages by cursor show everything once, newest first, though more is added meanwhile."""
    made = [tenant.http.post("/v1/identities", json={"name": f"p{i}"}).json()["id"] for i in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = tenant.http.get("/v1/identities", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [person["id"] for person in page["data"]]
        tenant.http.post("/v1/identities", json={"name": "later"})
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert cursor is None
    assert seen == made[::-1]


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1", "1e9", "9" * 400])
def test_a_limit_out_of_range(tenant: Tenant, limit: str) -> None:
    """A page holds 1 to 100."""
    assert tenant.http.get("/v1/identities", params={"limit": limit}).status_code == 422


def test_usage_sums_up_what_ran(tenant: Tenant, hand: Hand) -> None:
    """Usage counts jobs and their seconds in a period, and shows the quotas."""
    tenant.reference(tenant.identity())
    hand.work()
    told = tenant.http.get("/v1/usage").json()
    assert told["lines"] == [{"kind": "assess", "count": 1, "compute_seconds": 1.5}]
    assert set(told["quotas"]) == {"max_queued_jobs", "max_running_jobs", "max_identities"}
    past = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    assert tenant.http.get("/v1/usage", params={"until": past}).json()["lines"] == []
    assert tenant.http.get("/v1/usage", params={"since": "2030-01-01", "until": past}).status_code == 422


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "x", "1e400"]
)
def test_a_moment_at_the_end_of_time(tenant: Tenant, moment: str) -> None:
    """The first and the last moments there are do no harm."""
    for name in ("since", "until"):
        assert tenant.http.get("/v1/usage", params={name: moment}).status_code in {200, 422}


def test_the_audit_log_tells_what_was_done(service: Service, tenant: Tenant) -> None:
    """What is done is told in order, by whom, each event sealing the one before; reading is not told."""
    identity_id = tenant.identity()
    tenant.http.get(f"/v1/identities/{identity_id}")
    events = tenant.http.get("/v1/audit-events").json()["data"]
    assert [event["action"] for event in events] == ["consent.recorded", "identity.created"]
    assert {event["actor"] for event in events} == {tenant.key_id}
    assert events[1]["target"] == identity_id
    assert events[0]["previous_hash"] == events[1]["hash"]
    with service.ledger.transaction(tenant.id, read_only=True) as session:
        assert audit.broken_link(session, tenant.id) is None


def test_a_refused_request_leaves_no_event(tenant: Tenant) -> None:
    """What had no effect is not in the log."""
    tenant.http.post(f"/v1/identities/{tenant.identity(consent=False)}/trainings", json={})
    actions = [event["action"] for event in tenant.http.get("/v1/audit-events").json()["data"]]
    assert actions == ["identity.created"]


def test_a_retention_only_gets_shorter(tenant: Tenant) -> None:
    """A person's retention may be shortened, never prolonged."""
    made = tenant.http.post("/v1/identities", json={"name": "Ada", "retention_seconds": 3600}).json()
    path = f"/v1/identities/{made['id']}"
    assert tenant.http.patch(path, json={"retention_seconds": 600}).json()["retention_seconds"] == 600
    assert tenant.http.patch(path, json={"retention_seconds": 900}).status_code == 422


def test_a_tenants_retention(service: Service, tenant: Tenant) -> None:
    """An operator sets a tenant's schedule; the tenant reads it, and both logs tell of the change."""
    operator = service.tenant()
    nothing = dict.fromkeys(operators.SCHEDULE)
    assert tenant.http.get("/v1/retention").json() == nothing
    path = f"/v1/admin/tenants/{tenant.id}/retention"
    told = operator.http.patch(path, json={"restorations_days": 30, "uploads_days": 2}).json()
    assert told == nothing | {"restorations_days": 30, "uploads_days": 2}
    assert operator.http.patch(path, json={"restorations_days": None}).json() == nothing | {"uploads_days": 2}
    assert operator.http.get(path).json() == tenant.http.get("/v1/retention").json() == nothing | {"uploads_days": 2}
    for days in (0, -1, 3651, 1.5, "30"):
        assert operator.http.patch(path, json={"uploads_days": days}).status_code == 422
    for whose in (operator, tenant):
        event = whose.http.get("/v1/audit-events").json()["data"][0]
        assert (event["action"], event["target"]) == ("tenant.retention_changed", tenant.id)
        assert (event["actor"], event["details"]["uploads_days"]) == (operator.key_id, 2)
        with service.ledger.transaction(whose.id, read_only=True) as session:
            assert audit.broken_link(session, whose.id) is None
