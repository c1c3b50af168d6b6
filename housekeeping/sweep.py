"""Jobs that lost their worker, their time, or their bell: put right, and rung again."""

import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

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


class Sweeper:
    """Sweeps; after a database that was away, each living worker has time to report before its jobs count as lost."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._away = False
        self._not_before = time.monotonic()

    def sweep(self) -> None:
        """Sweep, unless the database has only just come back."""
        if self._away:
            with self._parts.database.transaction(None, read_only=True):
                self._not_before = time.monotonic() + ledger.LEASE_SECONDS
            self._away = False
        if time.monotonic() < self._not_before:
            return
        try:
            sweep(self._parts)
        except SQLAlchemyError:
            self._away = True
            raise
