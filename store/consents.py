"""Consent: nothing of a person is processed without a live record of what they agreed to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from store import people, use_policy
from store.columns import now
from store.errors import ConsentRequired
from store.models import Consent, Identity

NEEDED = frozenset({"train", "restore"})
"""Without these purposes nothing may be kept."""


@dataclass(frozen=True)
class Agreement:
    """Who agreed to what, how, to which text, and who attests it."""

    subject: str
    attested_by: str
    method: str
    purposes: Sequence[str]
    text_version: str
    text: str
    jurisdiction: str
    valid_for_seconds: int | None = None


def record(session: Session, identity: Identity, agreement: Agreement) -> Consent:
    """Record what a person agreed to; of the text only the hash is kept."""
    people.require_present(people.locked(session, identity.tenant_id, identity.id))
    row = Consent(
        tenant_id=identity.tenant_id,
        identity_id=identity.id,
        subject=agreement.subject,
        attested_by=agreement.attested_by,
        method=agreement.method,
        purposes=sorted(set(agreement.purposes)),
        text_version=agreement.text_version,
        text_sha256=hashlib.sha256(agreement.text.encode()).hexdigest(),
        policy_sha256=use_policy.SHA256,
        jurisdiction=agreement.jurisdiction,
    )
    if agreement.valid_for_seconds is not None:
        row.expires_at = now(agreement.valid_for_seconds)
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def require(session: Session, identity: Identity, purpose: str) -> None:
    """ConsentRequired where no live record covers the purpose; StateConflict for a person who is being erased.

    The person's row stays locked to the end of the transaction: an erasure that begins meanwhile waits, and then sees
    what was started here.
    """
    people.require_present(people.locked(session, identity.tenant_id, identity.id))
    if purpose not in live_purposes(session, identity.tenant_id, identity.id):
        raise ConsentRequired(
            f"got an identity without a live consent to {purpose}, wanted one; "
            f"record it with POST /v1/identities/{identity.id}/consents"
        )


def live_purposes(session: Session, tenant_id: str, identity_id: str) -> frozenset[str]:
    """Return what a person agrees to now."""
    live = (Consent.withdrawn_at.is_(None), or_(Consent.expires_at.is_(None), Consent.expires_at > now()))
    mine = (Consent.tenant_id == tenant_id, Consent.identity_id == identity_id)
    return frozenset(
        purpose for row in session.scalars(select(Consent).where(*mine, *live)) for purpose in row.purposes
    )
