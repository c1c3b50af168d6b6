"""The tenant's keys."""

from fastapi import Response

from api.dependencies import Once, Tx, own
from api.idempotency import answered
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.accounts import ApiKey, ApiKeyWithSecret, KeyRotation, NewApiKey
from store import keys, models

routes = router("api keys")
ADMIN = scope("keys:admin")


@routes.post("/api-keys", status_code=201, response_model=ApiKeyWithSecret, openapi_extra=ADMIN)
def create_api_key(body: NewApiKey, work: Tx, once: Once) -> Response:
    """Make a key with no more scopes than this one has; its text is shown this once."""
    for name in body.scopes:
        work.principal.needs(name)
    row, token = keys.create(work.session, work.tenant_id, body.name, body.scopes, body.expires_in)
    work.audit("api_key.created", row.id, scopes=list(body.scopes))
    shown = ApiKeyWithSecret(**ApiKey.model_validate(row).model_dump(), key=token)
    return once.keep(answered(201, shown, location=f"/v1/api-keys/{row.id}")).response()


@routes.get("/api-keys", response_model=Page[ApiKey], openapi_extra=ADMIN)
def list_api_keys(work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[ApiKey]:
    """List the tenant's keys, newest first, without their secrets."""
    return page(work, models.ApiKey, ApiKey.model_validate, limit, cursor)


@routes.get("/api-keys/{key_id}", response_model=ApiKey, openapi_extra=ADMIN)
def get_api_key(key_id: str, work: Tx) -> ApiKey:
    """Return one key, without its secret."""
    return ApiKey.model_validate(own(work, models.ApiKey, key_id))


@routes.delete("/api-keys/{key_id}", status_code=204, openapi_extra=ADMIN)
def revoke_api_key(key_id: str, work: Tx) -> None:
    """Revoke a key at once."""
    row = own(work, models.ApiKey, key_id)
    keys.revoke(work.session, row)
    work.audit("api_key.revoked", row.id)


@routes.post("/api-keys/{key_id}/rotate", status_code=201, response_model=ApiKeyWithSecret, openapi_extra=ADMIN)
def rotate_api_key(key_id: str, body: KeyRotation, work: Tx, once: Once) -> Response:
    """Make the key's successor; the old one works on for the overlap."""
    old = own(work, models.ApiKey, key_id)
    for name in old.scopes:
        work.principal.needs(name)
    row, token = keys.rotate(work.session, old, body.overlap_seconds)
    work.audit("api_key.rotated", old.id, successor=row.id)
    shown = ApiKeyWithSecret(**ApiKey.model_validate(row).model_dump(), key=token)
    return once.keep(answered(201, shown, location=f"/v1/api-keys/{row.id}")).response()
