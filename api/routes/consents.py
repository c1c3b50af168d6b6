"""Consent: nothing is processed without a live record of it."""

from fastapi import Response

from api.dependencies import Once, Tx, own
from api.idempotency import answered
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.identities import Consent, NewConsent, Withdrawal, Withdrawn
from store import consents, models, withdrawals

routes = router("consents")


@routes.post(
    "/identities/{identity_id}/consents",
    status_code=201,
    response_model=Consent,
    openapi_extra=scope("identities:write"),
)
def record_consent(identity_id: str, body: NewConsent, work: Tx, once: Once) -> Response:
    """Record who agreed to what; the text itself is not kept, its hash is."""
    identity = own(work, models.Identity, identity_id)
    row = consents.record(work.session, identity, consents.Agreement(**body.model_dump()))
    work.audit("consent.recorded", row.id, purposes=list(body.purposes))
    return once.keep(
        answered(201, Consent.model_validate(row), location=f"/v1/identities/{identity_id}/consents")
    ).response()


@routes.get("/identities/{identity_id}/consents", response_model=Page[Consent], openapi_extra=scope("identities:read"))
def list_consents(identity_id: str, work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Consent]:
    """List a person's consent records, newest first."""
    own(work, models.Identity, identity_id)
    return page(work, models.Consent, Consent.model_validate, limit, cursor, identity_id=identity_id)


@routes.post("/consents/{consent_id}/withdraw", response_model=Withdrawn, openapi_extra=scope("identities:write"))
def withdraw_consent(consent_id: str, body: Withdrawal, work: Tx, once: Once) -> Response:
    """Withdraw purposes: without train or restore the person's jobs stop and their things are erased."""
    row = own(work, models.Consent, consent_id)
    erasure = withdrawals.withdraw(work.session, row, body.purposes, body.reason)
    work.audit("consent.withdrawn", row.id, purposes=body.purposes or row.purposes)
    shown = Withdrawn(consent=Consent.model_validate(row), erasure_id=erasure.id if erasure else None)
    return once.keep(answered(200, shown)).response()
