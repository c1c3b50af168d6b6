"""What has had its time: results, uploads, persons nobody came back to, and objects that no row knows."""

import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import structlog

from housekeeping.parts import Parts
from store import closed_sessions, erasure_ledger, queries, retention, schedules
from store.errors import StorageRefused
from store.outbox import Errand

log = structlog.get_logger(__name__)
_YOUNG = timedelta(hours=1)  # an object of this age may belong to a row that is still being written
_ASKED_AT_ONCE = 500
_ROUNDS = 100  # of deletions for one tenant before the next one has its turn


def expire(parts: Parts, errand: Errand) -> None:
    """Delete a restoration or an upload whose time is over."""
    with parts.database.transaction(errand.tenant_id) as session:
        retention.expire(session, errand.tenant_id, str(errand.payload["id"]))


def retire(parts: Parts, errand: Errand) -> None:
    """Erase a person whom nobody has used for as long as the person was to be kept."""
    with parts.database.transaction(errand.tenant_id) as session:
        retention.retire(session, errand.tenant_id, str(errand.payload["id"]))


def tidy(parts: Parts) -> None:
    """Forget old events, workers that are gone, and what each tenant needs no longer."""
    with parts.database.transaction(None) as session:
        retention.tidy(session)
        tenant_ids = queries.tenant_ids(session)
    for tenant_id in tenant_ids:
        try:
            with parts.database.transaction(tenant_id) as session:
                retention.tidy_tenant(session, tenant_id)
                closed_sessions.forget_ended(session, tenant_id)
            enforce_schedule(parts, tenant_id)
        except Exception:  # one tenant's trouble is not to keep the others' things for longer than promised
            log.exception("tenant_not_tidied", tenant_id=tenant_id)
    parts.database.forget_log()  # once more: after an erasure somebody may have been reading


def enforce_schedule(parts: Parts, tenant_id: str) -> int:
    """Delete what a tenant's retention schedule says is over; return how many things there were."""
    count = 0
    for _ in range(_ROUNDS):
        with parts.database.transaction(tenant_id) as session:
            done = schedules.enforce(session, tenant_id)
        count += done
        if not done:
            break
    if count:
        log.info("schedule_enforced", tenant_id=tenant_id, count=count)
    return count


def delete_orphans(parts: Parts, stop: threading.Event | None = None) -> int:
    """Delete objects that no row knows, whole or half written, left by processes that died; return how many.

    Once `stop` is set it ends where it is: to look through a large store takes hours.
    """
    stop = stop or threading.Event()
    oldest = datetime.now(UTC) - _YOUNG
    count = parts.safe.blobs.delete_unfinished(oldest)
    for tenant_id, names in _old_objects(parts, oldest, stop).items():
        for start in range(0, len(names), _ASKED_AT_ONCE):
            if stop.is_set():
                break
            with parts.database.transaction(tenant_id, read_only=True) as session:
                orphans = retention.orphans(session, tenant_id, names[start : start + _ASKED_AT_ONCE])
            count += sum(_deleted(parts, name) for name in orphans)
    if count:
        log.info("orphans_deleted", count=count)
    return count


def _old_objects(parts: Parts, oldest: datetime, stop: threading.Event) -> dict[str, list[str]]:
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for stored in parts.safe.blobs.list(""):
        if stop.is_set():
            break
        if stored.modified_at < oldest and not stored.name.startswith(erasure_ledger.FOLDER):
            by_tenant[stored.name.partition("/")[0]].append(stored.name)
    return by_tenant


def _deleted(parts: Parts, name: str) -> bool:
    """Delete an object; return whether that went well: one that stays is no reason for the others to stay."""
    try:
        parts.safe.blobs.delete(name)
    except (OSError, StorageRefused) as error:
        log.warning("orphan_not_deleted", object=name, error=f"{type(error).__name__}: {error}")
        return False
    return True
