"""Tests of webhooks: signed as Standard Webhooks says, sent until they are taken, never elsewhere."""

import json
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from housekeeping.outbox import Errands
from housekeeping.outgoing import is_public
from housekeeping.webhooks import seconds_until
from store import models, outbox, webhooks
from tests.housekeeping.conftest import Caretaking, Receiver
from tests.worker.house import House


def endpoint(house: House, url: str, events: list[str] | None = None) -> tuple[str, str]:
    """Register an endpoint; return its id and its secret."""
    with house.desk.transaction(house.tenant_id) as session:
        row, secret = webhooks.register(session, house.safe.vault, house.tenant_id, url, events)
        return row.id, secret


def happen(house: House, kind: str = "restoration.ready") -> None:
    """Let something happen that webhooks tell of."""
    with house.desk.transaction(house.tenant_id) as session:
        outbox.add(session, house.tenant_id, "webhook", {"type": kind, "data": {"restoration_id": "res_1"}})


def deliveries(house: House) -> list[models.WebhookDelivery]:
    """Return all deliveries."""
    with house.desk.transaction(house.tenant_id, read_only=True) as session:
        return session.query(models.WebhookDelivery).order_by(models.WebhookDelivery.id).all()


def test_signed_and_taken(house: House, caretaking: Caretaking, receiver: Receiver) -> None:
    """A receiver verifies the delivery with the library and the secret it was shown."""
    _, secret = endpoint(house, receiver.url)
    happen(house)
    caretaking.errands_done()
    (row,) = deliveries(house)
    assert (row.state, row.attempt, row.response_status) == ("delivered", 1, 200)
    ((headers, body),) = receiver.got
    assert Webhook(secret).verify(body, headers) == json.loads(body)
    assert json.loads(body)["type"] == "restoration.ready"
    assert headers["webhook-id"] == row.event_id
    with pytest.raises(Exception, match="signature"):
        Webhook(secret).verify(body + b" ", headers)


def test_both_secrets_sign_while_they_overlap(house: House, caretaking: Caretaking, receiver: Receiver) -> None:
    """After a rotation the old and the new secret verify the same delivery."""
    endpoint_id, old = endpoint(house, receiver.url)
    with house.desk.transaction(house.tenant_id) as session:
        row = session.get_one(models.WebhookEndpoint, {"tenant_id": house.tenant_id, "id": endpoint_id})
        new = webhooks.rotate(session, house.safe.vault, row, 60)
    happen(house)
    caretaking.errands_done()
    ((headers, body),) = receiver.got
    for secret in (old, new):
        Webhook(secret).verify(body, headers)


def test_only_what_was_asked_for(house: House, caretaking: Caretaking, receiver: Receiver) -> None:
    """An endpoint gets the events it named, and no others."""
    endpoint(house, receiver.url, ["job.failed"])
    happen(house)
    caretaking.errands_done()
    assert not receiver.got


def test_tried_again_until_it_is_taken(house: House, caretaking: Caretaking, receiver: Receiver) -> None:
    """A receiver that fails is asked again later, with the same message id; one that asks for time is given it."""
    endpoint(house, receiver.url)
    receiver.status, receiver.headers = 503, {"Retry-After": "120"}
    happen(house)
    caretaking.errands_done()
    (row,) = deliveries(house)
    assert (row.state, row.attempt, row.response_status) == ("pending", 1, 503)
    assert row.next_attempt_at is not None
    assert (row.next_attempt_at - row.created_at).total_seconds() >= 115
    receiver.status = 200
    caretaking.hurry()
    caretaking.errands_done()
    (row,) = deliveries(house)
    assert (row.state, row.attempt) == ("delivered", 2)
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]


def test_given_up_after_the_last_try(house: House, caretaking: Caretaking, receiver: Receiver) -> None:
    """After the tenth failure nothing more is sent."""
    endpoint(house, receiver.url)
    receiver.status = 500
    happen(house)
    for _ in range(15):
        caretaking.hurry()
        caretaking.errands_done()
    (row,) = deliveries(house)
    assert (row.state, len(receiver.got)) == ("failed", len(webhooks.RETRY_SECONDS) + 1)


def test_gone_switches_the_endpoint_off(house: House, caretaking: Caretaking, receiver: Receiver) -> None:
    """410 ends it: the endpoint gets nothing any more."""
    endpoint_id, _ = endpoint(house, receiver.url)
    receiver.status = 410
    happen(house)
    caretaking.errands_done()
    happen(house)
    caretaking.errands_done()
    assert len(receiver.got) == 1
    assert not house.row(models.WebhookEndpoint, endpoint_id).enabled


def test_never_into_our_own_network(house: House, caretaking: Caretaking, receiver: Receiver) -> None:
    """With the rule that holds outside of tests, an endpoint on this machine is not connected to."""
    endpoint(house, receiver.url)
    happen(house)
    strict = Errands(replace(caretaking.parts, may_reach=is_public))
    while strict.start_due():
        strict.finish()
    strict.close()
    (row,) = deliveries(house)
    assert not receiver.got
    assert row.response_status is None
    assert row.error is not None
    assert "private" in row.error


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, None), ("7", 7.0), ("999999999", 86_400.0), ("Fri, 31 Dec 1999", None), ("-1", None)]
)
def test_when_to_come_again(header: str | None, seconds: float | None) -> None:
    """Only seconds are understood, and a day is the longest."""
    assert seconds_until(header) == seconds
