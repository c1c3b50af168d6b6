"""The outbox: errands that were written down with the rows they follow from, done at least once, each by its kind."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog
from sqlalchemy.exc import SQLAlchemyError

from housekeeping import erasure, retention, webhooks
from housekeeping.parts import Parts
from store import outbox
from store.errors import StoreError
from store.outbox import Errand

log = structlog.get_logger(__name__)
_LONGEST_SECONDS = 300.0  # until an errand that fails again and again is tried again
_AT_ONCE = 2  # deliveries of one tenant: its receivers may take their time, and only its own deliveries wait for them
_HOLDS = 4  # of what is under way, in the time for which it would be hidden without them
# What does an errand; False: it is not over, and has been put off.
_KINDS: Mapping[str, Callable[[Parts, Errand], bool | None]] = {
    "webhook": webhooks.fan_out,
    "delivery": webhooks.deliver,
    "delete_blobs": erasure.delete_blobs,
    "expire": retention.expire,
    "retire": retention.retire,
    "erase": erasure.erase,
}


class Errands:
    """Errands that are under way, side by side: a receiver or a store that is slow holds up no other lane."""

    def __init__(self, parts: Parts, threads: int = 8, delivering: int = 16, deleting: int = 8) -> None:
        # What takes long could be taken again while it waits for its turn: none of it is taken ahead.
        self._lanes = [
            _Lane(parts, "others", threads, most=2 * threads, per_tenant=max(1, threads - 2)),
            _Lane(parts, "deletions", deleting, most=deleting, per_tenant=max(1, deleting // 2)),
            _Lane(parts, "deliveries", delivering, most=delivering, per_tenant=_AT_ONCE),
        ]

    def start_due(self) -> int:
        """Begin the errands that are due, as many as there is room for; return how many."""
        return sum(lane.start_due() for lane in self._lanes)

    def finish(self) -> None:
        """Wait for what is under way."""
        for lane in self._lanes:
            wait(lane.under_way)

    def close(self) -> None:
        """Finish, and begin nothing more."""
        for lane in self._lanes:
            lane.threads.shutdown(wait=True)


class _Lane:
    """A pool of threads for one lane; no tenant has more than its part of it."""

    def __init__(self, parts: Parts, lane: outbox.Lane, threads: int, most: int, per_tenant: int) -> None:
        self._parts, self._lane, self._most, self._per_tenant = parts, lane, most, per_tenant
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix=f"errand-{lane}")
        self.under_way: dict[Future[None], Errand] = {}
        self._hold_at = 0.0

    def start_due(self) -> int:
        """Begin what is due; return how much that is."""
        self.under_way = {future: errand for future, errand in self.under_way.items() if not future.done()}
        self._hold()
        room = self._most - len(self.under_way)
        mine = {errand.id: errand.tenant_id for errand in self.under_way.values()}
        wanted = outbox.Wanted(room, self._lane, self._per_tenant, mine)
        with self._parts.database.transaction(None, read_only=True) as session:
            if not room or not outbox.due(session, wanted):
                return 0
        with self._parts.database.transaction(None) as session:
            errands = outbox.claim(session, wanted)
        self.under_way |= {self.threads.submit(run, self._parts, errand): errand for errand in errands}
        return len(errands)

    def _hold(self) -> None:
        """Now and then, keep other caretakers from what is under way here, however long it takes."""
        if not self.under_way or time.monotonic() < self._hold_at:
            return
        with self._parts.database.transaction(None) as session:
            held = {future: outbox.hold(session, errand) for future, errand in self.under_way.items()}
        self.under_way, self._hold_at = held, time.monotonic() + outbox.HIDDEN_SECONDS / _HOLDS


def run(parts: Parts, errand: Errand) -> None:
    """Do one errand; one that fails is tried again later, and later still."""
    # An erasure that waits for a worker is tried every second: 2 to the power of its tries is no number any more.
    seconds = min(2.0 ** min(errand.attempts, 10), _LONGEST_SECONDS)
    about = {"errand_id": errand.id, "kind": errand.kind, "again_in_seconds": seconds}
    try:
        if _KINDS[errand.kind](parts, errand) is False:
            return
        with parts.database.transaction(None) as session:
            outbox.done(session, errand)
    except (StoreError, SQLAlchemyError, OSError) as error:
        log.warning("errand_failed", **about, error=str(error))
        _put_off(parts, errand, seconds)
    except Exception:  # of what nobody has thought of the log is to know: nobody asks for what a thread returned
        log.exception("errand_failed", **about)
        _put_off(parts, errand, seconds)


def _put_off(parts: Parts, errand: Errand, seconds: float) -> None:
    try:
        with parts.database.transaction(None) as session:
            outbox.later(session, errand, seconds)
    except SQLAlchemyError as error:  # it comes back by itself when its claim runs out
        log.warning("errand_not_put_off", errand_id=errand.id, error=str(error))
