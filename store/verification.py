"""Tampering, looked for: audit chains, receipts, the erasure ledger, data keys and, if wished, every sealed object.

One changed byte in any of them is found and named. What is found is a sentence for people, not an error to handle.
"""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import audit, erasure_ledger, queries, receipts
from store.database import Database
from store.errors import InsecureSettings, MissingBlob, Shredded, Tampered
from store.models import DataKey, Erasure
from store.safe import Safe

_WRONG = (Tampered, Shredded, MissingBlob, InsecureSettings)


def findings(database: Database, safe: Safe, objects: bool = False) -> Iterator[str]:
    """Yield what is not as it was written, of all tenants; with `objects` every sealed object is opened too."""
    for name in erasure_ledger.read(safe).forged:
        yield f"the erasure ledger's line {name} is not what was signed"
    with database.transaction(None, read_only=True) as session:
        tenant_ids = queries.tenant_ids(session)
    for tenant_id in tenant_ids:
        with database.transaction(tenant_id, read_only=True) as session:
            yield from _rows(session, safe, tenant_id)
        if objects:
            yield from _objects(database, safe, tenant_id)


def _rows(session: Session, safe: Safe, tenant_id: str) -> Iterator[str]:
    if (place := audit.broken_link(session, tenant_id)) is not None:
        yield f"the audit log of {tenant_id} is broken at event {place}"
    keys = safe.vault.public_keys()
    for row in session.scalars(select(Erasure).where(Erasure.tenant_id == tenant_id, Erasure.receipt.is_not(None))):
        told = row.receipt or {}
        names_it = (told.get("erasure_id"), told.get("identity_id")) == (row.id, row.identity_id)
        if not (names_it and receipts.is_genuine(told, keys)):
            yield f"the receipt of {row.id} of {tenant_id} is not what was signed"
    owners = select(DataKey.owner_id).where(DataKey.tenant_id == tenant_id, DataKey.owner_id != tenant_id)
    for owner_id in session.scalars(owners).all():
        try:
            safe.key(session, tenant_id, owner_id)
        except _WRONG as error:
            yield f"the data key of {owner_id} of {tenant_id}: {error}"


def _objects(database: Database, safe: Safe, tenant_id: str) -> Iterator[str]:
    for stored in safe.blobs.list(f"{tenant_id}/"):
        owner_id = stored.name.split("/")[1]
        try:
            with database.transaction(tenant_id, read_only=True) as session:
                key = safe.key(session, tenant_id, owner_id)
            safe.read(key, stored.name)
        except _WRONG as error:
            yield f"the object {stored.name}: {error}"
