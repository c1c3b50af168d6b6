"""Webhook endpoints: registered, changed, tested; their secrets shown once."""

import pytest

from tests.api.operations import HOOK
from tests.api.service import Tenant


def _made(tenant: Tenant, **more: object) -> dict[str, object]:
    answer = tenant.http.post("/v1/webhook-endpoints", json={"url": HOOK, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_secret_is_shown_once(tenant: Tenant) -> None:
    """The signing secret is in the first answer only; by default an endpoint gets every event."""
    made = _made(tenant)
    assert str(made["secret"]).startswith("whsec_")
    shown = tenant.http.get(f"/v1/webhook-endpoints/{made['id']}").json()
    assert "secret" not in shown
    assert "restoration.ready" in shown["events"]


def test_a_rotation_makes_another_secret(tenant: Tenant) -> None:
    """Rotating gives a new secret, shown this once."""
    made = _made(tenant)
    path = f"/v1/webhook-endpoints/{made['id']}/rotate-secret"
    assert tenant.http.post(path, json={"overlap_seconds": 60}).json()["secret"] != made["secret"]


def test_a_test_event_is_on_its_way(tenant: Tenant) -> None:
    """A test event becomes a delivery that the log shows, and that can be sent once more."""
    made = _made(tenant, events=["adapter.ready"])
    sent = tenant.http.post(f"/v1/webhook-endpoints/{made['id']}/test")
    assert (sent.status_code, sent.json()["state"]) == (202, "pending")
    assert sent.json()["payload"]["type"] == "webhook.test"
    listed = tenant.http.get(f"/v1/webhook-endpoints/{made['id']}/deliveries").json()["data"]
    assert [delivery["id"] for delivery in listed] == [sent.json()["id"]]
    again = tenant.http.post(f"/v1/deliveries/{sent.json()['id']}/redeliver")
    assert (again.status_code, again.json()["id"]) == (202, sent.json()["id"])


def test_an_endpoint_is_changed_and_forgotten(tenant: Tenant) -> None:
    """An endpoint can be switched off, and deleted with its deliveries."""
    made = _made(tenant)
    path = f"/v1/webhook-endpoints/{made['id']}"
    changed = tenant.http.patch(path, json={"enabled": False, "events": ["job.failed"]}).json()
    assert (changed["enabled"], changed["events"]) == (False, ["job.failed"])
    assert tenant.http.post(f"{path}/test").status_code == 409
    assert tenant.http.delete(path).status_code == 204
    assert tenant.http.get(path).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "http://example.org/hook",
        "https://",
        "https:///x",
        "http://[::1",
        "javascript:alert(1)",
        "https://a b/",
        "//x",
        "",
    ],
)
def test_an_address_that_is_none(tenant: Tenant, url: str) -> None:
    """A webhook goes to an http(s) address with a host; whether it is private is settled when it is sent."""
    assert tenant.http.post("/v1/webhook-endpoints", json={"url": url}).status_code == 422


def test_an_event_that_there_is_not(tenant: Tenant) -> None:
    """Only events that exist can be asked for."""
    answer = tenant.http.post("/v1/webhook-endpoints", json={"url": HOOK, "events": ["moon.full"]})
    assert answer.status_code == 422
