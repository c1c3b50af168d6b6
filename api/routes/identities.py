"""Identities: people whose photos are restored."""

from fastapi import Response

from api.dependencies import Once, Tx, own
from api.idempotency import answered
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.accounts import Erasure
from api.schemas.identities import Identity, IdentityChange, NewIdentity
from store import erasures, models, people

routes = router("identities")


@routes.post("/identities", status_code=201, response_model=Identity, openapi_extra=scope("identities:write"))
def create_identity(body: NewIdentity, work: Tx, once: Once) -> Response:
    """Create a person; then record their consent, and add photos."""
    row = people.create(work.session, work.tenant_id, body.name, body.retention_seconds)
    work.audit("identity.created", row.id)
    return once.keep(answered(201, Identity.model_validate(row), location=f"/v1/identities/{row.id}")).response()


@routes.get("/identities", response_model=Page[Identity], openapi_extra=scope("identities:read"))
def list_identities(work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Identity]:
    """List the tenant's people, newest first."""
    return page(work, models.Identity, Identity.model_validate, limit, cursor)


@routes.get("/identities/{identity_id}", response_model=Identity, openapi_extra=scope("identities:read"))
def get_identity(identity_id: str, work: Tx) -> Identity:
    """Return one person."""
    return Identity.model_validate(own(work, models.Identity, identity_id))


@routes.patch("/identities/{identity_id}", response_model=Identity, openapi_extra=scope("identities:write"))
def update_identity(identity_id: str, body: IdentityChange, work: Tx) -> Identity:
    """Rename a person, or shorten how long their things are kept."""
    row = own(work, models.Identity, identity_id)
    people.change(work.session, row, body.name, body.retention_seconds)
    work.audit("identity.changed", row.id)
    return Identity.model_validate(row)


@routes.delete(
    "/identities/{identity_id}", status_code=202, response_model=Erasure, openapi_extra=scope("identities:write")
)
def delete_identity(identity_id: str, work: Tx) -> Response:
    """Erase a person: photos, adapters, restorations, keys; the receipt comes with the erasure."""
    row = own(work, models.Identity, identity_id)
    erasure = erasures.begin(work.session, row, "requested")
    work.audit("identity.erasure_requested", row.id)
    location = f"/v1/erasures/{erasure.id}"
    return answered(202, Erasure.model_validate(erasure), location=location, retry_after="2").response()
