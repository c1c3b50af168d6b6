"""The heartbeat: keeps this worker's leases alive, and hears what is wanted of them and of the worker itself."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.backbone import Backbone
from store import ledger, queries, workers
from store.database import Database
from store.job_models import Eviction
from worker.cache import Caches

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Held:
    """A job in this worker's hands."""

    claim: ledger.Claim
    owners: set[str] = field(default_factory=set)  # people and adapters that it has in memory
    order: str = "go"  # or "stop": nobody wants it any more; or "lost": it is another worker's by now


class Heart:
    """Beats in a thread of its own while a worker lives."""

    def __init__(self, database: Database, caches: Caches, beat_seconds: float) -> None:
        self._database, self._caches, self._beat_seconds = database, caches, beat_seconds
        self._held: dict[str, Held] = {}
        self._owed: list[ledger.Lease] = []  # whose jobs' ends could not be written
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._kept_until = time.monotonic()
        self._looked = 0.0
        self.worker_id = ""
        self.forgotten = False  # this worker was struck off, and is to be started anew

    @contextlib.contextmanager
    def beating(self, backbone: Backbone, drain: Callable[[], None]) -> Iterator[None]:
        """Report this worker for as long as it lives; `drain` is called when an operator wants it to end."""
        with self._database.transaction(None) as session:
            about = {"base_digest": backbone.base_digest, "host": socket.gethostname(), "process": os.getpid()}
            self.worker_id = workers.register(session, str(backbone.device), backbone.name, about).id
        self._ended.clear()
        thread = threading.Thread(target=self._beat_on, args=(drain,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            with contextlib.suppress(SQLAlchemyError):
                self._make_good()
                with self._database.transaction(None) as session:
                    workers.leave(session, self.worker_id)

    def hold(self, claim: ledger.Claim) -> Held:
        """Keep a job's lease alive from here on."""
        held = Held(claim, {claim.identity_id} if claim.identity_id else set())
        with self._lock:
            if not self._held:
                self._kept_until = time.monotonic() + ledger.LEASE_SECONDS
            self._held[claim.lease.job_id] = held
        return held

    def let_go(self, held: Held) -> None:
        """Let a job's lease be."""
        with self._lock:
            self._held.pop(held.claim.lease.job_id, None)

    def owe(self, lease: ledger.Lease) -> None:
        """Give a job back at the next beat that the database hears."""
        with self._lock:
            self._owed.append(lease)

    def look(self, at_most_every: float = 0.0) -> None:
        """See now, and not at the next beat, whether a job is to stop; a database that is away says nothing."""
        if time.monotonic() - self._looked < at_most_every:
            return
        self._looked = time.monotonic()
        held = self._all_held()
        try:
            with self._database.transaction(None, read_only=True) as session:
                pulses = queries.pulses(session, [one.claim.lease.job_id for one in held])
        except SQLAlchemyError as error:
            log.warning("no_look_at_jobs", worker_id=self.worker_id, error=str(error))
            self._give_up_if_unheard(held)
            return
        for one in held:
            _sequence, state = pulses.get(one.claim.lease.job_id, (0, "gone"))
            if state == "canceling":
                one.order = "stop"
            elif state != "running":
                one.order = "lost"
        self._give_up_if_unheard(held)

    def beat(self, drain: Callable[[], None]) -> None:
        """Renew the leases, report, and obey."""
        held = self._all_held()
        with self._database.transaction(None) as session:
            orders = ledger.heartbeat(session, [one.claim.lease for one in held])
            wanted = workers.beat(session, self.worker_id, "busy" if held else "idle")
        self._kept_until = time.monotonic() + ledger.LEASE_SECONDS
        for one in held:
            if (order := orders.get(one.claim.lease.job_id, "lost")) != "go":
                one.order = order
        self._make_good()
        if wanted.draining:
            self.forgotten = wanted.forgotten
            drain()
        self._evict(wanted.evictions)

    def _make_good(self) -> None:
        """Give back what could not be given back when its run ended."""
        with self._lock:
            owed = sorted(self._owed, key=lambda lease: lease.job_id)
        for lease in owed:
            with self._database.transaction(None) as session:
                ledger.make_good(session, lease)
            with self._lock:
                self._owed.remove(lease)

    def _evict(self, evictions: Sequence[Eviction]) -> None:
        """Forget who is erased; say so only when no running job has them in memory either."""
        through = 0
        for eviction in sorted(evictions, key=lambda eviction: eviction.sequence):
            self._caches.forget(eviction.owner_id)
            if any(eviction.owner_id in one.owners for one in self._all_held()):
                break
            through = eviction.sequence
        if through:
            with self._database.transaction(None) as session:
                workers.evicted(session, self.worker_id, through)

    def _beat_on(self, drain: Callable[[], None]) -> None:
        while not self._ended.wait(self._beat_seconds):
            try:
                self.beat(drain)
            except SQLAlchemyError as error:
                log.warning("heartbeat_missed", worker_id=self.worker_id, error=str(error))
                self._give_up_if_unheard(self._all_held())

    def _give_up_if_unheard(self, held: list[Held]) -> None:
        """Count jobs as lost whose leases have run out meanwhile: somebody else may have them."""
        if time.monotonic() > self._kept_until:
            for one in held:
                one.order = "lost"

    def _all_held(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())
