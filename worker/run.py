"""One claimed job in this worker's hands: whether it is still wanted, how far it is, where its blobs go."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from store import ledger
from store.errors import Fenced
from store.safe import Safe
from store.vault import OwnerKey
from worker.heart import Held
from worker.parts import Parts

log = structlog.get_logger(__name__)
_PROGRESS_SECONDS = 0.5  # from one report of progress to the next


class Run:
    """One run of one job."""

    def __init__(self, parts: Parts, held: Held) -> None:
        self.parts, self.held = parts, held
        self.claim = held.claim
        self.lease: ledger.Lease = held.claim.lease
        self.ended = False  # by now it is canceled, failed, given back or published
        self._started = time.monotonic()
        self._paused = 0.0
        self._reported = -1e9
        self._written: list[str] = []

    def named(self) -> dict[str, str]:
        """Return the ids that every log line about this job has."""
        claim, lease = self.claim, self.lease
        ids = {"restoration_id": claim.restoration_id, "reference_id": claim.reference_id}
        about = {name: row_id for name, row_id in ids.items() if row_id is not None}
        return {"job_id": lease.job_id, "tenant_id": lease.tenant_id, "worker_id": lease.worker_id, **about}

    @property
    def safe(self) -> Safe:
        """Return the safe that holds the job's blobs."""
        return self.parts.safe

    @contextmanager
    def tenant(self, *, read_only: bool = False) -> Iterator[Session]:
        """Open a transaction on the job's tenant."""
        with self.parts.database.transaction(self.lease.tenant_id, read_only=read_only) as session:
            yield session

    @contextmanager
    def ledger(self) -> Iterator[Session]:
        """Open a transaction on the ledger."""
        with self.parts.database.transaction(None) as session:
            yield session

    def stopped(self) -> bool:
        """Say whether to stop, by the latest news; asked at every step, it looks a few times a second."""
        self.parts.heart.look(self.parts.options.look_seconds)
        return self.held.order != "go"

    def progress(self, phase: str, step: int, total: int, **figures: float) -> None:
        """Report how far the job is; the last step always, the others now and then."""
        now = time.monotonic()
        if self.ended or (step < total and now - self._reported < _PROGRESS_SECONDS):
            return
        self._reported = now
        try:
            with self.ledger() as session:
                ledger.progress(session, self.lease, phase, step, total, **figures)
        except Fenced:
            self.parts.heart.look()  # the next step asks whether to stop
        except SQLAlchemyError as error:
            log.warning("progress_not_written", job_id=self.lease.job_id, error=str(error))

    def key(self, owner_id: str) -> OwnerKey:
        """Return the data key of a person or of a restoration."""
        with self.tenant(read_only=True) as session:
            return self.safe.key(session, self.lease.tenant_id, owner_id)

    def write(self, key: OwnerKey, kind: str, name: str, data: bytes) -> str:
        """Seal and write an output under this run's own names, and remember it until it is published."""
        blob = self.safe.write(key, kind, f"{self.lease.job_id}/{self.lease.epoch}/{name}", data)
        self._written.append(blob)
        return blob

    def published(self) -> None:
        """Say that what was written belongs to the rows now."""
        self._written.clear()

    def succeeded(self) -> None:
        """Say that the job has ended well, with all that was written."""
        self.published()
        self.ended = True
        log.info("job_succeeded", job_id=self.lease.job_id, tenant_id=self.lease.tenant_id, kind=self.claim.kind)

    def clean_up(self) -> None:
        """Delete what was written and never published."""
        while self._written:
            self.safe.drop(self._written.pop())

    def elsewhere(self, work: Callable[[], None]) -> float:
        """Do something else in between, off this job's clock; return how many seconds it took."""
        started = time.monotonic()
        try:
            work()
        finally:
            took = time.monotonic() - started
            self._paused += took
        return took

    def metrics(self, **figures: float) -> dict[str, float]:
        """Return what the run took, with other figures of it."""
        return {"compute_seconds": round(time.monotonic() - self._started - self._paused, 3), **figures}
