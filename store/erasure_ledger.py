"""The erasure ledger: who was erased, kept beside the blobs and outside the database.

A database that is restored from a backup holds people again who have been erased since; from here it learns of them.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from store import erasures, receipts
from store.database import Database
from store.models import Identity
from store.safe import Safe

FOLDER = "_erasures/"
"""What the names of its lines begin with: no tenant's name does."""
_ASKED_AT_ONCE = 500


@dataclass(frozen=True)
class Ledger:
    """What was read: the erasure of each person of each tenant, and the names of lines that are not as signed."""

    people: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    forged: list[str] = field(default_factory=list)


def write(safe: Safe, tenant_id: str, identity_id: str, erasure_id: str) -> None:
    """Write down that a person is to be erased, whatever becomes of the database."""
    statement = {
        "type": "idprefer-erasure-line-1", "tenant_id": tenant_id, "identity_id": identity_id, "erasure_id": erasure_id,
    }  # fmt: skip
    line = json.dumps(receipts.signed(safe.vault, statement)).encode()
    safe.blobs.put(_name(tenant_id, identity_id), lambda: [line], len(line))


def read(safe: Safe) -> Ledger:
    """Return the whole ledger."""
    ledger, keys = Ledger(), safe.vault.public_keys()
    for stored in safe.blobs.list(FOLDER):
        try:
            line = json.loads(b"".join(safe.blobs.get(stored.name)))
            tenant_id, identity_id = str(line["tenant_id"]), str(line["identity_id"])
        except (ValueError, KeyError, TypeError):
            ledger.forged.append(stored.name)
            continue
        if receipts.is_genuine(line, keys) and stored.name == _name(tenant_id, identity_id):
            ledger.people[tenant_id][identity_id] = str(line["erasure_id"])
        else:
            ledger.forged.append(stored.name)
    return ledger


def replay(database: Database, safe: Safe) -> int:
    """Begin again every erasure that the database knows nothing of; return how many there were.

    To be done before anything is served: when this returns, no byte of those people can be read.
    """
    begun = 0
    for tenant_id, erased in read(safe).people.items():
        people = list(erased)
        for start in range(0, len(people), _ASKED_AT_ONCE):
            begun += _begin(database, tenant_id, people[start : start + _ASKED_AT_ONCE])
    return begun


def sign_anew(safe: Safe) -> None:
    """Sign every line that is genuine under the current root key: the one it was signed under may be taken out."""
    for tenant_id, erased in read(safe).people.items():
        for identity_id, erasure_id in erased.items():
            write(safe, tenant_id, identity_id, erasure_id)


def _begin(database: Database, tenant_id: str, people: Sequence[str]) -> int:
    back = (Identity.tenant_id == tenant_id, Identity.id.in_(people), Identity.erasing_at.is_(None))
    with database.transaction(tenant_id) as session:
        rows = session.scalars(select(Identity).where(*back).with_for_update()).all()
        for row in rows:
            erasures.begin(session, row, "restored_from_a_backup")
        return len(rows)


def _name(tenant_id: str, identity_id: str) -> str:
    return f"{FOLDER}{tenant_id}/{identity_id}"
