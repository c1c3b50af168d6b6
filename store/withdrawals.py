"""Withdrawals of consent: without consent to training or restoring, what was made of a person is erased."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from store import consents, erasures, people
from store.columns import now
from store.errors import StateConflict
from store.models import Consent, Erasure


def withdraw(
    session: Session, row: Consent, purposes: Sequence[str] | None = None, reason: str | None = None
) -> Erasure | None:
    """Withdraw purposes, all if none is named; without train or restore the person's things are erased."""
    identity = people.locked(session, row.tenant_id, row.identity_id)
    session.refresh(row)  # of two withdrawals at once, the second is to know of the first
    if row.withdrawn_at is not None:
        raise StateConflict("got a consent that is withdrawn already, wanted one that is not")
    gone = set(row.purposes) & set(purposes if purposes is not None else row.purposes)
    if not gone:
        raise StateConflict(f"got purposes that this consent does not hold, wanted some of {', '.join(row.purposes)}")
    row.purposes = [purpose for purpose in row.purposes if purpose not in gone]
    row.withdrawal_reason = reason if identity.erasing_at is None else None  # an erasure is not to miss it
    if not row.purposes:
        row.withdrawn_at = now()
    session.flush()
    session.refresh(row)
    lost = (gone & consents.NEEDED) - consents.live_purposes(session, row.tenant_id, row.identity_id)
    if not lost or identity.erasing_at is not None:
        return None
    return erasures.begin(session, identity, "consent_withdrawn")
