"""Webhooks: endpoints, the events they get, and every attempt to deliver one (Standard Webhooks)."""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import outbox, quotas
from store.columns import age, now
from store.errors import QuotaExceeded, StateConflict
from store.ids import new_id
from store.models import WebhookDelivery, WebhookEndpoint
from store.vault import Vault

EVENTS = (
    "job.succeeded", "job.failed", "job.canceled", "job.expired", "reference.accepted", "reference.rejected",
    "adapter.ready", "restoration.ready", "erasure.completed",
)  # fmt: skip
RETRY_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long to wait after each failed attempt; there is none after the last."""
MAX_ENDPOINTS = 20
"""Of one tenant: an event goes to each of them."""
MAX_TESTS = 10
"""Test events on their way to one endpoint."""
_TEST = "webhook.test"
_SPREAD = 0.1
_GONE = 410


@dataclass(frozen=True)
class Parcel:
    """What to send: sign `message_id`, the time and `body` with each of the secrets."""

    url: str
    secrets: Sequence[str]
    message_id: str
    body: bytes
    attempt: int


def register(
    session: Session,
    vault: Vault,
    tenant_id: str,
    url: str,
    events: Sequence[str] | None = None,
    description: str | None = None,
) -> tuple[WebhookEndpoint, str]:
    """Register an endpoint; return it and its secret, which is told this once."""
    there = select(func.count()).where(WebhookEndpoint.tenant_id == tenant_id)
    if not quotas.has_room(session, tenant_id, there, MAX_ENDPOINTS):
        raise QuotaExceeded(f"got one endpoint more than {MAX_ENDPOINTS}, wanted no more; delete one, or change one")
    row = WebhookEndpoint(id=new_id("whe"), tenant_id=tenant_id, url=url, description=description, enabled=True)
    row.events = list(events or EVENTS)
    row.secret, secret = _new_secret(session, vault, row)
    session.add(row)
    session.flush()
    session.refresh(row)
    return row, secret


def change(session: Session, row: WebhookEndpoint, **changes: Any) -> None:
    """Change where an endpoint is, what it gets, or whether it gets anything."""
    for name, value in changes.items():
        setattr(row, name, value)
    session.flush()


def forget(session: Session, row: WebhookEndpoint) -> None:
    """Forget an endpoint and its deliveries."""
    session.delete(row)
    session.flush()


def rotate(session: Session, vault: Vault, row: WebhookEndpoint, overlap_seconds: float) -> str:
    """Make a new secret; for the overlap the old one signs beside it."""
    row.previous_secret, row.previous_until = row.secret, now(overlap_seconds)
    row.secret, secret = _new_secret(session, vault, row)
    session.flush()
    session.refresh(row)
    return secret


def send_test(session: Session, row: WebhookEndpoint) -> WebhookDelivery:
    """Send a test event to one endpoint."""
    if not row.enabled:
        raise StateConflict("got an endpoint that is switched off, wanted one that is on; set enabled to true first")
    on_their_way = select(func.count()).where(
        WebhookDelivery.tenant_id == row.tenant_id, WebhookDelivery.endpoint_id == row.id,
        WebhookDelivery.event_type == _TEST, WebhookDelivery.state == "pending",
    )  # fmt: skip
    if not quotas.has_room(session, row.tenant_id, on_their_way, MAX_TESTS):
        raise QuotaExceeded(
            f"got a test beside {MAX_TESTS} that are on their way, wanted no more; send one of them once more instead"
        )
    return _post(session, row, _TEST, {"type": _TEST, "data": {"endpoint_id": row.id}}, new_id("evt"))


def redeliver(session: Session, row: WebhookDelivery) -> WebhookDelivery:
    """Send an event once more, under the id it had, by which a receiver knows it again; one that is due is due."""
    session.refresh(row, with_for_update=True)
    mine = (WebhookDelivery.tenant_id == row.tenant_id, WebhookDelivery.id == row.id)
    if row.state == "pending" and session.scalar(select(age(WebhookDelivery.next_attempt_at) >= 0.0).where(*mine)):
        return row  # its errand is there: another one for each time that somebody asks would be without bound
    row.state, row.error, row.response_status, row.delivered_at = "pending", None, None, None
    row.next_attempt_at = now()
    session.flush()
    session.refresh(row)
    outbox.add(session, row.tenant_id, "delivery", {"id": row.id})
    return row


def fan_out(session: Session, tenant_id: str, payload: Mapping[str, Any], message_id: str) -> int:
    """Turn an event into one delivery for each endpoint that wants it; return how many those are.

    The errand's id is the message's: done twice, it is one event still.
    """
    endpoints = select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id, WebhookEndpoint.enabled.is_(True))
    wanted = [row for row in session.scalars(endpoints) if payload["type"] in row.events]
    for row in wanted:
        _post(session, row, payload["type"], payload, message_id)
    return len(wanted)


def parcel(session: Session, vault: Vault, tenant_id: str, delivery_id: str) -> Parcel | None:
    """Return what is to be sent now; None where the delivery is done, or its endpoint is gone or switched off."""
    row = session.get(WebhookDelivery, {"tenant_id": tenant_id, "id": delivery_id})
    if row is None or row.state != "pending":
        return None
    endpoint = session.get_one(WebhookEndpoint, {"tenant_id": tenant_id, "id": row.endpoint_id})
    if not endpoint.enabled:
        row.state, row.error, row.next_attempt_at = "failed", "the endpoint is switched off", None
        return None
    row.attempt += 1
    session.flush()
    body = json.dumps(row.payload, separators=(",", ":")).encode()
    return Parcel(endpoint.url, _secrets(session, vault, endpoint), row.event_id, body, row.attempt)


def answered(
    session: Session,
    tenant_id: str,
    delivery_id: str,
    status: int | None,
    error: str | None = None,
    retry_after: float | None = None,
) -> WebhookDelivery:
    """Note what an endpoint answered: 2xx is delivered, 410 switches it off, all else is tried again later."""
    row = session.get_one(WebhookDelivery, {"tenant_id": tenant_id, "id": delivery_id})
    row.response_status, row.error = status, error
    if status is not None and 200 <= status < 300:
        row.state, row.delivered_at, row.next_attempt_at = "delivered", now(), None
    elif status == _GONE:
        row.state, row.next_attempt_at = "failed", None
        session.get_one(WebhookEndpoint, {"tenant_id": tenant_id, "id": row.endpoint_id}).enabled = False
    elif row.attempt > len(RETRY_SECONDS):
        row.state, row.next_attempt_at = "failed", None
    else:
        wait = max(RETRY_SECONDS[row.attempt - 1] * (1 + _SPREAD * secrets.randbelow(1000) / 1000), retry_after or 0.0)
        row.next_attempt_at = now(wait)
        outbox.add(session, tenant_id, "delivery", {"id": row.id}, wait)
    session.flush()
    session.refresh(row)
    return row


def _post(
    session: Session, endpoint: WebhookEndpoint, event_type: str, payload: Mapping[str, Any], message_id: str
) -> WebhookDelivery:
    timestamp = datetime.now(UTC).isoformat()
    row = WebhookDelivery(
        tenant_id=endpoint.tenant_id,
        endpoint_id=endpoint.id,
        event_id=message_id,
        event_type=event_type,
        payload={"type": event_type, "timestamp": timestamp, "data": payload["data"]},
        next_attempt_at=now(),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    outbox.add(session, endpoint.tenant_id, "delivery", {"id": row.id})
    return row


def _new_secret(session: Session, vault: Vault, row: WebhookEndpoint) -> tuple[bytes, str]:
    """Return a new secret, sealed for the row, and as it is shown."""
    raw = secrets.token_bytes(32)
    key = vault.tenant_key(session, row.tenant_id)
    return b"".join(key.seal(f"webhook-secret/{row.id}", raw)), f"whsec_{base64.b64encode(raw).decode()}"


def _secrets(session: Session, vault: Vault, row: WebhookEndpoint) -> list[str]:
    """Return the secrets that sign now, the newest first."""
    key = vault.tenant_key(session, row.tenant_id)
    sealed = [row.secret]
    mine = (WebhookEndpoint.tenant_id == row.tenant_id, WebhookEndpoint.id == row.id)
    ended = session.scalar(select(age(WebhookEndpoint.previous_until) > 0.0).where(*mine))
    if row.previous_secret is not None and not ended:
        sealed.append(row.previous_secret)
    opened = [key.open(f"webhook-secret/{row.id}", iter([one])) for one in sealed]
    return [f"whsec_{base64.b64encode(raw).decode()}" for raw in opened]
