"""Webhooks: an event becomes one delivery for each endpoint that wants it; signed, and sent until it is taken."""

import time
from datetime import UTC, datetime

import structlog
from standardwebhooks import Webhook

from housekeeping.outgoing import Unreachable, post
from housekeeping.parts import Parts
from store import webhooks
from store.outbox import Errand

log = structlog.get_logger(__name__)


def fan_out(parts: Parts, errand: Errand) -> None:
    """Make one delivery of an event for each endpoint that wants it."""
    with parts.database.transaction(errand.tenant_id) as session:
        webhooks.fan_out(session, errand.tenant_id, errand.payload, errand.id)


def deliver(parts: Parts, errand: Errand) -> None:
    """Send one delivery once; the next try, if there is to be one, is written down with the answer."""
    delivery_id = str(errand.payload["id"])
    with parts.database.transaction(errand.tenant_id) as session:
        parcel = webhooks.parcel(session, parts.safe.vault, errand.tenant_id, delivery_id)
    if parcel is None:  # delivered, given up or forgotten meanwhile
        return
    status: int | None = None
    error: str | None = None
    why = ""
    retry_after: float | None = None
    try:
        answer = post(parcel.url, parcel.body, signed(parcel), may_reach=parts.may_reach)
        status, retry_after = answer.status, seconds_until(answer.retry_after)
    except Unreachable as unreachable:
        error, why = str(unreachable), unreachable.why
    log.info("webhook_sent", delivery_id=delivery_id, attempt=parcel.attempt, status=status, error=error, why=why)
    with parts.database.transaction(errand.tenant_id) as session:
        webhooks.answered(session, errand.tenant_id, delivery_id, status, error, retry_after)


def signed(parcel: webhooks.Parcel) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with one signature for each live secret."""
    moment = datetime.fromtimestamp(int(time.time()), UTC)
    body = parcel.body.decode()
    signatures = [Webhook(secret).sign(parcel.message_id, moment, body) for secret in parcel.secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "idprefer-webhooks/1",
        "webhook-id": parcel.message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def seconds_until(retry_after: str | None) -> float | None:
    """Return how long a receiver asks to be left alone, where it says so in seconds; a day at most."""
    if retry_after is None or not retry_after.strip().isdecimal():
        return None
    return min(float(retry_after), 86_400.0)
