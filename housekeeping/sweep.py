"""Jobs that lost their worker, their time, or their bell: put right, and rung again."""

import structlog

from housekeeping.parts import Parts
from store import ledger

log = structlog.get_logger(__name__)


def sweep(parts: Parts) -> None:
    """Requeue, cancel, fail or expire what nobody works on; ring for what waits and may not have been heard."""
    with parts.database.transaction(None) as session:
        swept = ledger.sweep(session)
    for outcome in ("requeued", "failed", "canceled", "expired"):
        for job_id in getattr(swept, outcome):
            log.info("job_swept", job_id=job_id, outcome=outcome)
    with parts.database.transaction(None, read_only=True) as session:
        unheard = ledger.unheard(session)
    for kind in sorted(unheard):
        parts.doorbell.wake(kind)
