"""The tenant's keys."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import Response

from api.dependencies import Once, Tx, Work, own
from api.errors import Refusal
from api.idempotency import answered
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.accounts import ApiKey, ApiKeyWithSecret, KeyRotation, NewApiKey
from store import keys, models

routes = router("api keys")
ADMIN = scope("keys:admin")


@routes.post("/api-keys", status_code=201, response_model=ApiKeyWithSecret, openapi_extra=ADMIN)
def create_api_key(body: NewApiKey, work: Tx, once: Once) -> Response:
    """Make a key with no more scopes than this one has, and no longer a life; its text is shown this once."""
    _require_scopes(work, body.scopes)
    until = _maker(work).expires_at
    row, token = keys.create(work.session, work.tenant_id, body.name, body.scopes, body.expires_in, until)
    _require_no_longer_life(work, row.expires_at)
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
    """Revoke a key at once; it must have no scope that this one lacks."""
    row = own(work, models.ApiKey, key_id)
    _require_scopes(work, row.scopes)
    keys.revoke(work.session, row)
    work.audit("api_key.revoked", row.id)


@routes.post("/api-keys/{key_id}/rotate", status_code=201, response_model=ApiKeyWithSecret, openapi_extra=ADMIN)
def rotate_api_key(key_id: str, body: KeyRotation, work: Tx, once: Once) -> Response:
    """Make the key's successor, which ends when the old one would have; that one works on for the overlap."""
    old = own(work, models.ApiKey, key_id)
    _require_scopes(work, old.scopes)
    _require_no_longer_life(work, old.expires_at)
    row, token = keys.rotate(work.session, old, body.overlap_seconds)
    work.audit("api_key.rotated", old.id, successor=row.id)
    shown = ApiKeyWithSecret(**ApiKey.model_validate(row).model_dump(), key=token)
    return once.keep(answered(201, shown, location=f"/v1/api-keys/{row.id}")).response()


def _maker(work: Work) -> models.ApiKey:
    return work.session.get_one(models.ApiKey, {"tenant_id": work.tenant_id, "id": work.principal.key_id})


def _require_scopes(work: Work, scopes: Sequence[str]) -> None:
    for name in scopes:
        work.principal.needs(name)


def _require_no_longer_life(work: Work, expires_at: datetime | None) -> None:
    """Refuse a key that would outlive the one at work: whoever has that for an hour would have it for ever."""
    until = _maker(work).expires_at
    if until is not None and (expires_at is None or expires_at > until):
        wanted = f"wanted an end by {until:%Y-%m-%dT%H:%M:%SZ}; name a shorter expires_in, or use a key that lasts"
        raise Refusal("forbidden", f"got a key that would outlive the one at work; {wanted}", wanted=("expires_at",))
