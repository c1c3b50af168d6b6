"""Webhooks: secrets sealed, events for whom they are wanted, every attempt noted, the next one planned."""

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from store import outbox, webhooks
from store.columns import now
from store.errors import StateConflict
from store.models import OutboxEvent, WebhookDelivery, WebhookEndpoint
from tests.store.archive import Archive

EVENT = {"type": "job.succeeded", "data": {"job_id": "job_1"}}


def _register(archive: Archive, tenant: str, *events: str) -> tuple[WebhookEndpoint, str]:
    with archive.api.transaction(tenant) as session:
        return webhooks.register(session, archive.safe.vault, tenant, "https://example.org/hook", events or None)


def _deliver(archive: Archive, tenant: str, delivery: str, status: int | None, **details: Any) -> WebhookDelivery:
    with archive.of(tenant) as session:
        assert webhooks.parcel(session, archive.safe.vault, tenant, delivery) is not None
    with archive.of(tenant) as session:
        return webhooks.answered(session, tenant, delivery, status, **details)


def _sent(archive: Archive, tenant: str) -> str:
    """Fan an event out to the one endpoint; return the delivery."""
    with archive.of(tenant) as session:
        assert webhooks.fan_out(session, tenant, EVENT, "evt_1") == 1
        return session.scalars(select(WebhookDelivery.id)).one()


def test_a_secret_is_told_once_and_kept_sealed(archive: Archive) -> None:
    """The row holds no readable secret; a parcel carries it for signing."""
    tenant = archive.tenant()
    row, secret = _register(archive, tenant)
    assert secret.startswith("whsec_")
    assert secret.removeprefix("whsec_").encode() not in row.secret
    delivery = _sent(archive, tenant)
    with archive.of(tenant) as session:
        parcel = webhooks.parcel(session, archive.safe.vault, tenant, delivery)
    assert parcel is not None
    assert (parcel.secrets, parcel.message_id, parcel.attempt, parcel.url) == ([secret], "evt_1", 1, row.url)
    body = json.loads(parcel.body)
    assert (body["type"], body["data"]) == ("job.succeeded", {"job_id": "job_1"})


def test_events_go_where_they_are_wanted(archive: Archive) -> None:
    """An endpoint gets the events it named, one that named none gets all, one switched off gets nothing."""
    tenant, other = archive.tenant(), archive.tenant()
    wanted = _register(archive, tenant, "job.succeeded")[0].id
    _register(archive, tenant, "job.failed")
    everything = _register(archive, tenant)[0].id
    off = _register(archive, tenant)[0].id
    _register(archive, other)
    with archive.api.transaction(tenant) as session:
        webhooks.change(session, session.get_one(WebhookEndpoint, (tenant, off)), enabled=False)
    with archive.of(tenant) as session:
        assert webhooks.fan_out(session, tenant, EVENT, "evt_1") == 2
        assert set(session.scalars(select(WebhookDelivery.endpoint_id))) == {wanted, everything}
    with archive.of(None) as session:
        taken = outbox.claim(session, outbox.Wanted(lane="deliveries"))
        assert [errand.kind for errand in taken] == ["delivery", "delivery"]


def test_a_delivered_event_is_done(archive: Archive) -> None:
    """2xx ends a delivery; nothing more is sent."""
    tenant = archive.tenant()
    _register(archive, tenant)
    delivery = _sent(archive, tenant)
    row = _deliver(archive, tenant, delivery, 204)
    assert (row.state, row.attempt, row.next_attempt_at) == ("delivered", 1, None)
    with archive.of(tenant) as session:
        assert webhooks.parcel(session, archive.safe.vault, tenant, delivery) is None


@pytest.mark.parametrize(("status", "details"), [(500, {}), (302, {}), (None, {"error": "timed out"})])
def test_a_failed_attempt_is_repeated_later(archive: Archive, status: int | None, details: dict[str, str]) -> None:
    """Errors, redirects and silence are tried again after a while."""
    tenant = archive.tenant()
    _register(archive, tenant)
    row = _deliver(archive, tenant, _sent(archive, tenant), status, **details)
    assert (row.state, row.response_status) == ("pending", status)
    assert row.next_attempt_at is not None
    assert 4 < (row.next_attempt_at - row.created_at).total_seconds() < 60
    with archive.of(None) as session:
        assert session.scalars(select(OutboxEvent).order_by(OutboxEvent.available_at.desc())).first() is not None


def test_retry_after_is_honoured(archive: Archive) -> None:
    """An endpoint that asks for more time gets it."""
    tenant = archive.tenant()
    _register(archive, tenant)
    row = _deliver(archive, tenant, _sent(archive, tenant), 429, retry_after=3600.0)
    assert row.next_attempt_at is not None
    assert (row.next_attempt_at - row.created_at).total_seconds() > 3500


def test_after_the_last_attempt_it_has_failed(archive: Archive) -> None:
    """There are ten attempts; the tenth failure is the end, until somebody asks for another."""
    tenant = archive.tenant()
    _register(archive, tenant)
    delivery = _sent(archive, tenant)
    with archive.of(tenant) as session:
        session.execute(update(WebhookDelivery).values(attempt=8))
    assert _deliver(archive, tenant, delivery, 500).state == "pending"
    assert _deliver(archive, tenant, delivery, 500).state == "failed"
    with archive.api.transaction(tenant) as session:
        again = webhooks.redeliver(session, session.get_one(WebhookDelivery, (tenant, delivery)))
        assert (again.state, again.event_id) == ("pending", "evt_1")
    assert _deliver(archive, tenant, delivery, 200).state == "delivered"


def test_410_switches_an_endpoint_off(archive: Archive) -> None:
    """An endpoint that says it is gone gets nothing more, what waits for it neither."""
    tenant = archive.tenant()
    row, _ = _register(archive, tenant)
    delivery = _sent(archive, tenant)
    with archive.of(tenant) as session:
        webhooks.fan_out(session, tenant, EVENT, "evt_2")
        waiting = session.scalars(select(WebhookDelivery.id).where(WebhookDelivery.id != delivery)).one()
    assert _deliver(archive, tenant, delivery, 410).state == "failed"
    assert not archive.row(WebhookEndpoint, tenant, row.id).enabled
    with archive.of(tenant) as session:
        assert webhooks.parcel(session, archive.safe.vault, tenant, waiting) is None
        assert session.get_one(WebhookDelivery, (tenant, waiting)).state == "failed"


def test_two_secrets_sign_during_a_rotation(archive: Archive) -> None:
    """During the overlap both secrets sign, the new one first; then the new one alone."""
    tenant = archive.tenant()
    row, old = _register(archive, tenant)
    with archive.api.transaction(tenant) as session:
        new = webhooks.rotate(session, archive.safe.vault, session.get_one(WebhookEndpoint, (tenant, row.id)), 3600)
    delivery = _sent(archive, tenant)

    def signing() -> list[str]:
        with archive.of(tenant) as session:
            parcel = webhooks.parcel(session, archive.safe.vault, tenant, delivery)
            return list(parcel.secrets) if parcel else []

    assert signing() == [new, old]
    with archive.of(tenant) as session:
        session.execute(update(WebhookEndpoint).values(previous_until=now(-1)))
    assert signing() == [new]


def test_a_test_event_and_a_forgotten_endpoint(archive: Archive) -> None:
    """A test event goes to one endpoint; with the endpoint its deliveries are forgotten."""
    tenant = archive.tenant()
    row, _ = _register(archive, tenant, "job.failed")
    with archive.api.transaction(tenant) as session:
        endpoint = session.get_one(WebhookEndpoint, (tenant, row.id))
        delivery = webhooks.send_test(session, endpoint)
        assert (delivery.event_type, delivery.state) == ("webhook.test", "pending")
        webhooks.change(session, endpoint, enabled=False)
        with pytest.raises(StateConflict, match="switched off"):
            webhooks.send_test(session, endpoint)
    with archive.api.transaction(tenant) as session:
        webhooks.forget(session, session.get_one(WebhookEndpoint, (tenant, row.id)))
    with archive.of(tenant) as session:
        assert webhooks.parcel(session, archive.safe.vault, tenant, delivery.id) is None
