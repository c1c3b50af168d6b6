"""The caretaker's duties: sweep and errands every moment, tidying now and then, none waiting for another."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from housekeeping import retention
from housekeeping.outbox import Errands
from housekeeping.parts import Parts
from housekeeping.sweep import Sweeper
from store.errors import StoreError

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rhythm:
    """How often the caretaker does what, in seconds."""

    errands: float = 0.25
    sweep: float = 1.0
    tidy: float = 300.0
    orphans: float = 3600.0


class Caretaker:
    """Keeps the house in order until told to stop."""

    def __init__(self, parts: Parts, rhythm: Rhythm | None = None) -> None:
        self._parts, self._rhythm = parts, rhythm or Rhythm()

    def work(self, stop: threading.Event) -> None:
        """Do each duty in a thread of its own, until it is time to stop: to look through a large store takes hours."""
        with contextlib.closing(Errands(self._parts)) as errands:
            threads = [
                threading.Thread(target=duty.keep, args=(stop,), name=f"housekeeping-{duty.name}")
                for duty in self._duties(errands, stop)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _duties(self, errands: Errands, stop: threading.Event) -> "list[_Duty]":
        parts, rhythm = self._parts, self._rhythm
        hunt = partial(retention.delete_orphans, parts, stop)
        return [
            _Duty("sweep", rhythm.sweep, Sweeper(parts).sweep),
            _Duty("errands", rhythm.errands, errands.start_due),
            _Duty("tidy", rhythm.tidy, lambda: retention.tidy(parts)),
            # Not at once: a caretaker that is started over and over would do nothing but list the store.
            _Duty("orphans", rhythm.orphans, hunt, first_in_seconds=rhythm.tidy),
        ]


@dataclass(frozen=True)
class _Duty:
    """Something done at intervals; what goes wrong once is tried again at the next."""

    name: str
    seconds: float
    do: Callable[[], object]
    first_in_seconds: float = 0.0

    def keep(self, stop: threading.Event) -> None:
        """Do it at its intervals until it is time to stop."""
        wait_seconds = self.first_in_seconds
        while not stop.wait(wait_seconds):
            self._do_once()
            wait_seconds = self.seconds

    def _do_once(self) -> None:
        try:
            self.do()
        except (SQLAlchemyError, StoreError, OSError) as error:
            log.warning("housekeeping_failed", duty=self.name, error=f"{type(error).__name__}: {error}")
        except Exception:  # nobody starts the caretaker anew in `serve`, and the duty is to be done again
            log.exception("housekeeping_failed", duty=self.name)
