"""Erasures: keys are gone when the request is; here the objects follow, are looked for again, and it is signed."""

import structlog

from housekeeping.parts import Parts
from store import erasure_ledger, erasures, outbox
from store.outbox import Errand

log = structlog.get_logger(__name__)
_AGAIN_SECONDS = 1.0


def erase(parts: Parts, errand: Errand) -> bool:
    """Go on with an erasure; return whether it is complete. It is not while a worker still has the person in memory."""
    erasure_id = str(errand.payload["id"])
    with parts.database.transaction(errand.tenant_id) as session:
        plan = erasures.plan(session, errand.tenant_id, erasure_id)
    erasure_ledger.write(parts.safe, errand.tenant_id, plan.identity_id, erasure_id)
    if not plan.ready:
        return _again(parts, errand)
    deleted = sum(delete_under(parts, prefix) for prefix in plan.prefixes)
    if any(True for prefix in plan.prefixes for _left in parts.safe.blobs.list(prefix)):
        return _again(parts, errand)
    with parts.database.transaction(errand.tenant_id) as session:
        erasures.complete(session, parts.safe.vault, errand.tenant_id, erasure_id, deleted)
    log.info("erasure_completed", erasure_id=erasure_id, tenant_id=errand.tenant_id, objects_deleted=deleted)
    return True


def _again(parts: Parts, errand: Errand) -> bool:
    with parts.database.transaction(None) as session:
        outbox.later(session, errand.id, _AGAIN_SECONDS)
    return False


def delete_blobs(parts: Parts, errand: Errand) -> None:
    """Delete what lies under a prefix that no row points to any more."""
    delete_under(parts, str(errand.payload["prefix"]))


def delete_under(parts: Parts, prefix: str) -> int:
    """Delete every object under a prefix; return how many there were."""
    names = [stored.name for stored in parts.safe.blobs.list(prefix)]
    for name in names:
        parts.safe.blobs.delete(name)
    return len(names)
