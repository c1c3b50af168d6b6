"""Claim, run, publish: the same loop in every mode, whoever rings the bell."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import ledger
from store.job_models import LANES
from worker.jobs import perform
from worker.parts import Parts

log = structlog.get_logger(__name__)
_SHORT = ("assess", "restore")  # kinds of jobs that a training lets past
_WARM_KEYS = 64  # adapters in memory that the claim is told of


class Worker:
    """One worker process at work."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._bell = parts, parts.bell

    def work(self) -> None:
        """Work until the bell says stop; while nothing waits, look again at every ring and now and then."""
        with self.alive():
            while not self._bell.stopped:
                if not self.turn():
                    self._bell.wait(self._parts.options.idle_seconds)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Load the networks, and be one of the workers meanwhile."""
        backbone = self._parts.networks.backbone  # before anything is claimed: a bad bundle fails the worker, not jobs
        self._bell.awake = True
        with self._parts.heart.beating(backbone, self._leave):
            log.info("worker_ready", worker_id=self._parts.heart.worker_id, bundle=backbone.name)
            yield

    def drain(self, seconds: float) -> bool:
        """Do what waits, for at most so long and then to the end of what was begun; return whether more may wait."""
        ends = time.monotonic() + seconds
        while not self._bell.stopped and self.turn():
            if time.monotonic() > ends:
                return True
        return False

    def turn(self, kinds: Sequence[str] = LANES) -> bool:
        """Claim what comes next and do it; return whether there was anything."""
        try:
            claims = self._claim(kinds)
        except SQLAlchemyError as error:
            log.warning("cannot_claim", error=str(error))
            return False
        if claims:
            perform(self._parts, claims, self._let_past)
        return bool(claims)

    def _claim(self, kinds: Sequence[str]) -> list[ledger.Claim]:
        database = self._parts.database
        with database.transaction(None, read_only=True) as session:  # an idle worker writes nothing
            if not ledger.waiting(session, kinds):
                return []
        warm = self._parts.caches.adapters.keys()[:_WARM_KEYS]
        with database.transaction(None) as session:
            return ledger.claim(session, self._parts.heart.worker_id, kinds, self._parts.options.batch, warm)

    def _leave(self) -> None:
        self._bell.drained = not self._parts.heart.forgotten
        self._bell.stop()

    def _let_past(self) -> None:
        self.turn(_SHORT)
