"""Webhook endpoints and what was sent to them."""

from fastapi import Response

from api.dependencies import Once, Tx, own
from api.idempotency import answered
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.webhooks import (
    Delivery,
    NewWebhookEndpoint,
    SecretRotation,
    WebhookEndpoint,
    WebhookEndpointChange,
    WebhookEndpointWithSecret,
)
from store import models, webhooks

routes = router("webhooks")
ADMIN = scope("webhooks:admin")


@routes.post("/webhook-endpoints", status_code=201, response_model=WebhookEndpointWithSecret, openapi_extra=ADMIN)
def create_webhook_endpoint(body: NewWebhookEndpoint, work: Tx, once: Once) -> Response:
    """Register an endpoint; its signing secret is shown this once."""
    row, secret = webhooks.register(
        work.session, work.parts.safe.vault, work.tenant_id, body.url, body.events, body.description
    )
    work.audit("webhook_endpoint.created", row.id)
    shown = WebhookEndpointWithSecret(**WebhookEndpoint.model_validate(row).model_dump(), secret=secret)
    return once.keep(answered(201, shown, location=f"/v1/webhook-endpoints/{row.id}")).response()


@routes.get("/webhook-endpoints", response_model=Page[WebhookEndpoint], openapi_extra=ADMIN)
def list_webhook_endpoints(work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[WebhookEndpoint]:
    """List the tenant's endpoints, newest first."""
    return page(work, models.WebhookEndpoint, WebhookEndpoint.model_validate, limit, cursor)


@routes.get("/webhook-endpoints/{endpoint_id}", response_model=WebhookEndpoint, openapi_extra=ADMIN)
def get_webhook_endpoint(endpoint_id: str, work: Tx) -> WebhookEndpoint:
    """Return one endpoint, without its secret."""
    return WebhookEndpoint.model_validate(own(work, models.WebhookEndpoint, endpoint_id))


@routes.patch("/webhook-endpoints/{endpoint_id}", response_model=WebhookEndpoint, openapi_extra=ADMIN)
def update_webhook_endpoint(endpoint_id: str, body: WebhookEndpointChange, work: Tx) -> WebhookEndpoint:
    """Change where an endpoint is, what it gets, or whether it gets anything."""
    row = own(work, models.WebhookEndpoint, endpoint_id)
    webhooks.change(work.session, row, **body.model_dump(exclude_none=True))
    work.audit("webhook_endpoint.changed", row.id)
    return WebhookEndpoint.model_validate(row)


@routes.delete("/webhook-endpoints/{endpoint_id}", status_code=204, openapi_extra=ADMIN)
def delete_webhook_endpoint(endpoint_id: str, work: Tx) -> None:
    """Forget an endpoint and its deliveries."""
    row = own(work, models.WebhookEndpoint, endpoint_id)
    webhooks.forget(work.session, row)
    work.audit("webhook_endpoint.deleted", endpoint_id)


@routes.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret", response_model=WebhookEndpointWithSecret, openapi_extra=ADMIN
)
def rotate_webhook_secret(endpoint_id: str, body: SecretRotation, work: Tx, once: Once) -> Response:
    """Make a new secret; for a while both sign."""
    row = own(work, models.WebhookEndpoint, endpoint_id)
    secret = webhooks.rotate(work.session, work.parts.safe.vault, row, body.overlap_seconds)
    work.audit("webhook_endpoint.secret_rotated", row.id)
    shown = WebhookEndpointWithSecret(**WebhookEndpoint.model_validate(row).model_dump(), secret=secret)
    return once.keep(answered(200, shown)).response()


@routes.post("/webhook-endpoints/{endpoint_id}/test", status_code=202, response_model=Delivery, openapi_extra=ADMIN)
def test_webhook_endpoint(endpoint_id: str, work: Tx, once: Once) -> Response:
    """Send a signed test event to one endpoint."""
    row = own(work, models.WebhookEndpoint, endpoint_id)
    delivery = webhooks.send_test(work.session, row)
    work.audit("webhook_endpoint.tested", row.id, delivery=delivery.id)
    return once.keep(answered(202, Delivery.model_validate(delivery))).response()


@routes.get("/webhook-endpoints/{endpoint_id}/deliveries", response_model=Page[Delivery], openapi_extra=ADMIN)
def list_deliveries(endpoint_id: str, work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Delivery]:
    """List what was sent to an endpoint and what it answered, newest first."""
    own(work, models.WebhookEndpoint, endpoint_id)
    return page(work, models.WebhookDelivery, Delivery.model_validate, limit, cursor, endpoint_id=endpoint_id)


@routes.post("/deliveries/{delivery_id}/redeliver", status_code=202, response_model=Delivery, openapi_extra=ADMIN)
def redeliver(delivery_id: str, work: Tx, once: Once) -> Response:
    """Send an event once more, with its own id, so that a receiver can tell."""
    row = webhooks.redeliver(work.session, own(work, models.WebhookDelivery, delivery_id))
    work.audit("webhook_delivery.repeated", row.id)
    return once.keep(answered(202, Delivery.model_validate(row))).response()
