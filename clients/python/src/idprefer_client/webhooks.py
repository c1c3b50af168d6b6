"""Webhooks received: checked by Standard Webhooks, so that nobody else's are believed."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from idprefer_client.errors import ForgedWebhook

TOLERANCE_SECONDS = 300


@dataclass(frozen=True)
class WebhookEvent:
    """An event of which it is sure who sent it; equal ids mean the same event sent again."""

    id: str
    type: str
    data: Mapping[str, Any]
    sent_at: int
    """Unix seconds."""


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> WebhookEvent:
    """Return the event of a request body, exactly as received; during a rotation give both secrets."""
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        event_id, sent, signatures = (lower[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        sent_at = int(sent)
    except (KeyError, ValueError):
        raise ForgedWebhook("got a request without webhook-id, -timestamp and -signature; wanted all three") from None
    if abs(time.time() - sent_at) > tolerance_seconds:
        raise ForgedWebhook(f"got a webhook sent at {sent_at}; wanted one of the last {tolerance_seconds} seconds")
    signed = f"{event_id}.{sent}.".encode() + body
    secrets = [secret] if isinstance(secret, str) else secret
    expected = [_signature(each, signed) for each in secrets]
    given = [text.removeprefix("v1,") for text in signatures.split() if text.startswith("v1,")]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in given):
        raise ForgedWebhook("got a signature that none of the secrets makes; wanted the endpoint's own secret")
    payload = json.loads(body)
    return WebhookEvent(event_id, payload["type"], payload["data"], sent_at)


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("got a secret of another shape; wanted the `whsec_...` that the endpoint was given") from None
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
