"""Webhook endpoints and their deliveries, by Standard Webhooks."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from api.schemas.common import Input, Moment, Output, Text

Event = Literal[
    "job.succeeded",
    "job.failed",
    "job.canceled",
    "job.expired",
    "reference.accepted",
    "reference.rejected",
    "adapter.ready",
    "restoration.ready",
    "erasure.completed",
    "webhook.test",
]


def _with_host(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0 or parts.username is not None:
        raise ValueError("wanted an address with a host, without a user name")
    return url


Url = Annotated[str, Field(max_length=2000, pattern=r"^https://[!-~]+$"), AfterValidator(_with_host)]


class NewWebhookEndpoint(Input):
    """Where to send which events; all of them if none is named."""

    url: Url
    events: Annotated[list[Event], Field(min_length=1, max_length=20)] | None = None
    description: Text | None = None


class WebhookEndpointChange(Input):
    """What may change about an endpoint; null leaves a field as it is."""

    url: Url | None = None
    events: Annotated[list[Event], Field(min_length=1, max_length=20)] | None = None
    description: Text | None = None
    enabled: bool | None = None


class WebhookEndpoint(Output):
    """A registered endpoint."""

    id: str
    url: str
    events: list[str]
    description: str | None
    enabled: bool
    created_at: Moment


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint with its signing secret, shown this once."""

    secret: str | None = Field(description="Null in a replay: it is shown once.")


class SecretRotation(Input):
    """For how long the old secret signs beside the new one."""

    overlap_seconds: Annotated[int, Field(ge=0, le=604_800)] = 86_400


class Delivery(Output):
    """One event on its way to one endpoint."""

    id: str
    endpoint_id: str
    event_type: str
    state: Literal["pending", "delivered", "failed"]
    attempt: int
    response_status: int | None
    error: str | None
    payload: dict[str, Any]
    next_attempt_at: Moment | None
    delivered_at: Moment | None
    created_at: Moment
