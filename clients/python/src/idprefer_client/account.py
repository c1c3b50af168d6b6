"""The tenant's own things: keys, webhook endpoints, usage, audit, erasures."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from idprefer_client.people import given
from idprefer_client.records import ApiKey, AuditEvent, Delivery, Erasure, Usage, WebhookEndpoint
from idprefer_client.transport import Sending, Transport


class ApiKeys:
    """Keys and what they may do."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, scopes: Sequence[str], expires_in: int | None = None) -> ApiKey:
        """Make a key; its text is in this answer and never again."""
        body = given(name=name, scopes=list(scopes), expires_in=expires_in)
        return self._transport.post(ApiKey, "/v1/api-keys", Sending(json=body))

    def list(self) -> Iterator[ApiKey]:
        """Return the tenant's keys, newest first."""
        return self._transport.all(ApiKey, "/v1/api-keys")

    def rotate(self, key_id: str, overlap_seconds: int = 3600) -> ApiKey:
        """Make a key's successor; the old one works on for the overlap."""
        body = {"overlap_seconds": overlap_seconds}
        return self._transport.post(ApiKey, f"/v1/api-keys/{key_id}/rotate", Sending(json=body))

    def revoke(self, key_id: str) -> None:
        """Revoke a key at once."""
        self._transport.delete(f"/v1/api-keys/{key_id}")


class WebhookEndpoints:
    """Where events are sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, url: str, events: Sequence[str] | None = None) -> WebhookEndpoint:
        """Register an endpoint; its signing secret is in this answer and never again."""
        body = given(url=url, events=list(events) if events else None)
        return self._transport.post(WebhookEndpoint, "/v1/webhook-endpoints", Sending(json=body))

    def list(self) -> Iterator[WebhookEndpoint]:
        """Return the tenant's endpoints, newest first."""
        return self._transport.all(WebhookEndpoint, "/v1/webhook-endpoints")

    def rotate_secret(self, endpoint_id: str, overlap_seconds: int = 86_400) -> WebhookEndpoint:
        """Make a new secret; for the overlap both sign."""
        body = {"overlap_seconds": overlap_seconds}
        return self._transport.post(
            WebhookEndpoint, f"/v1/webhook-endpoints/{endpoint_id}/rotate-secret", Sending(json=body)
        )

    def test(self, endpoint_id: str) -> Delivery:
        """Send a signed test event."""
        return self._transport.post(Delivery, f"/v1/webhook-endpoints/{endpoint_id}/test")

    def deliveries(self, endpoint_id: str) -> Iterator[Delivery]:
        """Return what was sent to an endpoint and what it answered, newest first."""
        return self._transport.all(Delivery, f"/v1/webhook-endpoints/{endpoint_id}/deliveries")

    def redeliver(self, delivery_id: str) -> Delivery:
        """Send an event once more."""
        return self._transport.post(Delivery, f"/v1/deliveries/{delivery_id}/redeliver")

    def delete(self, endpoint_id: str) -> None:
        """Forget an endpoint and its deliveries."""
        self._transport.delete(f"/v1/webhook-endpoints/{endpoint_id}")


class Account:
    """What was used, done and erased."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def usage(self, since: datetime | None = None, until: datetime | None = None) -> Usage:
        """Return what the tenant used, by default in the last 30 days."""
        period = {"since": since, "until": until}
        moments = {name: moment.astimezone().isoformat() for name, moment in period.items() if moment is not None}
        return self._transport.get(Usage, "/v1/usage", **moments)

    def audit_events(self) -> Iterator[AuditEvent]:
        """Return what was done in the tenant's name, newest first."""
        return self._transport.all(AuditEvent, "/v1/audit-events")

    def erasure(self, erasure_id: str) -> Erasure:
        """Return how far an erasure is, and its signed receipt when it is done."""
        return self._transport.get(Erasure, f"/v1/erasures/{erasure_id}")
