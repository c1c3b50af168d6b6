"""Erasures: keys are gone when the request is; here the objects follow, are looked for again, and it is signed."""

from collections.abc import Sequence

import structlog

from housekeeping.parts import Parts
from store import erasure_ledger, erasures, outbox
from store.outbox import Errand

log = structlog.get_logger(__name__)
_AGAIN_SECONDS = 1.0
_COUNTED_AT_ONCE = 20  # objects; of a process that is killed, so many may be gone without being counted


def erase(parts: Parts, errand: Errand) -> bool:
    """Go on with an erasure; return whether it is complete. It is not while a worker still has the person in memory."""
    erasure_id = str(errand.payload["id"])
    with parts.database.transaction(errand.tenant_id) as session:
        plan = erasures.plan(session, errand.tenant_id, erasure_id)
    erasure_ledger.write(parts.safe, errand.tenant_id, plan.identity_id, erasure_id)
    if not plan.ready:
        return _again(parts, errand)
    names = _names(parts, plan.prefixes)
    for start in range(0, len(names), _COUNTED_AT_ONCE):
        _delete_counted(parts, errand, names[start : start + _COUNTED_AT_ONCE])
    if _names(parts, plan.prefixes):
        return _again(parts, errand)
    with parts.database.transaction(errand.tenant_id) as session:
        destroyed = erasures.complete(session, parts.safe.vault, errand.tenant_id, erasure_id).counts
    parts.database.forget_log()
    log.info("erasure_completed", erasure_id=erasure_id, tenant_id=errand.tenant_id, destroyed=destroyed)
    return True


def _delete_counted(parts: Parts, errand: Errand, names: Sequence[str]) -> None:
    """Delete objects, and write down how many, however far it came; unless the erasure is another's by now."""
    count = 0
    try:
        for name in names:
            parts.safe.blobs.delete(name)
            count += 1
    finally:
        with parts.database.transaction(errand.tenant_id) as session:
            if outbox.is_ours(session, errand):  # or what was listed here may have been deleted, and counted, there
                erasures.count_deleted(session, errand.tenant_id, str(errand.payload["id"]), count)


def _again(parts: Parts, errand: Errand) -> bool:
    with parts.database.transaction(None) as session:
        outbox.later(session, errand, _AGAIN_SECONDS)
    return False


def delete_blobs(parts: Parts, errand: Errand) -> None:
    """Delete what lies under a prefix that no row points to any more."""
    for name in _names(parts, [str(errand.payload["prefix"])]):
        parts.safe.blobs.delete(name)


def _names(parts: Parts, prefixes: Sequence[str]) -> list[str]:
    return [stored.name for prefix in prefixes for stored in parts.safe.blobs.list(prefix)]
