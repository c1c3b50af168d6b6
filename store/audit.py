"""The audit log: append-only, each event sealing the one before by its hash."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from store.models import AuditEvent, AuditHead

log = structlog.get_logger(__name__)
FIRST = "0" * 64
"""What the first event seals."""


def record(session: Session, tenant_id: str, actor: str, action: str, target: str | None, **details: Any) -> AuditEvent:
    """Append an event to the tenant's log, in the transaction of what it tells of."""
    session.flush()
    head = session.scalar(
        select(AuditHead)
        .where(AuditHead.tenant_id == tenant_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    assert head is not None, f"tenant {tenant_id} was made without an audit log"
    event = AuditEvent(
        tenant_id=tenant_id,
        sequence=head.sequence + 1,
        action=action,
        actor=actor,
        target=target,
        details=json.loads(json.dumps(details)),
        previous_hash=head.hash,
        created_at=datetime.now(UTC),
    )
    event.hash = link(event)
    head.sequence, head.hash = event.sequence, event.hash
    session.add(event)
    session.flush()
    log.info("audit", action=action, target=target, tenant_id=tenant_id)  # beside the request's id: who asked for it
    return event


def link(event: AuditEvent) -> str:
    """Return the hash that seals an event and, through it, all before."""
    moment = event.created_at.astimezone(UTC).isoformat(timespec="microseconds")
    parts = [event.tenant_id, event.sequence, event.action, event.actor, event.target, event.details, moment]
    text = json.dumps([event.previous_hash, *parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def broken_link(session: Session, tenant_id: str) -> int | None:
    """Return the number of the first event that does not fit the one before, or None where the chain is whole."""
    previous, expected = FIRST, 1
    events = select(AuditEvent).where(AuditEvent.tenant_id == tenant_id).order_by(AuditEvent.sequence)
    for event in session.scalars(events):
        if event.sequence != expected or event.previous_hash != previous or event.hash != link(event):
            return expected
        previous, expected = event.hash, expected + 1
    head = session.get_one(AuditHead, tenant_id)
    return None if (head.sequence, head.hash) == (expected - 1, previous) else expected
