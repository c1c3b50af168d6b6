"""The outbox: errands that were written down with the rows they follow from, done at least once, each by its kind."""

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
    """Errands that are under way, side by side: a receiver that is slow holds up nobody else's."""

    def __init__(self, parts: Parts, threads: int = 8) -> None:
        self._parts, self._limit = parts, 2 * threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="errand")
        self._under_way: set[Future[None]] = set()

    def start_due(self) -> int:
        """Begin the errands that are due, as many as there is room for; return how many."""
        self._under_way = {future for future in self._under_way if not future.done()}
        room = self._limit - len(self._under_way)
        with self._parts.database.transaction(None, read_only=True) as session:
            if not room or not outbox.due(session):
                return 0
        with self._parts.database.transaction(None) as session:
            errands = outbox.claim(session, room)
        self._under_way |= {self._threads.submit(run, self._parts, errand) for errand in errands}
        return len(errands)

    def finish(self) -> None:
        """Wait for what is under way."""
        wait(self._under_way)

    def close(self) -> None:
        """Finish, and begin nothing more."""
        self._threads.shutdown(wait=True)


def run(parts: Parts, errand: Errand) -> None:
    """Do one errand; one that fails is tried again later, and later still."""
    try:
        if _KINDS[errand.kind](parts, errand) is False:
            return
        with parts.database.transaction(None) as session:
            outbox.done(session, errand.id)
    except (StoreError, SQLAlchemyError, OSError) as error:
        seconds = min(2.0**errand.attempts, _LONGEST_SECONDS)
        log.warning("errand_failed", errand_id=errand.id, kind=errand.kind, again_in_seconds=seconds, error=str(error))
        _put_off(parts, errand, seconds)


def _put_off(parts: Parts, errand: Errand, seconds: float) -> None:
    try:
        with parts.database.transaction(None) as session:
            outbox.later(session, errand.id, seconds)
    except SQLAlchemyError as error:  # it comes back by itself when its claim runs out
        log.warning("errand_not_put_off", errand_id=errand.id, error=str(error))
