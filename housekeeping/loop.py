"""The caretaker's round: sweep and errands every moment, tidying now and then."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

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
        """Go round until it is time to stop."""
        parts, rhythm, errands = self._parts, self._rhythm, Errands(self._parts)
        duties = [
            _Duty(rhythm.sweep, Sweeper(parts).sweep),
            _Duty(rhythm.errands, errands.start_due),
            _Duty(rhythm.tidy, lambda: retention.tidy(parts)),
            _Duty(rhythm.orphans, lambda: retention.delete_orphans(parts)),
        ]
        with contextlib.closing(errands):
            while not stop.is_set():
                for duty in duties:
                    duty.do_when_due()
                stop.wait(max(0.0, min(duty.due for duty in duties) - time.monotonic()))


class _Duty:
    """Something done at intervals; what goes wrong once is tried again at the next."""

    def __init__(self, seconds: float, do: Callable[[], object]) -> None:
        self._seconds, self._do = seconds, do
        self.due = time.monotonic()

    def do_when_due(self) -> None:
        """Do it if its time has come."""
        if time.monotonic() < self.due:
            return
        try:
            self._do()
        except (SQLAlchemyError, StoreError, OSError) as error:
            log.warning("housekeeping_failed", error=f"{type(error).__name__}: {error}")
        except Exception:  # nobody starts the caretaker anew in `serve`, and its other duties are to go on
            log.exception("housekeeping_failed")
        self.due = time.monotonic() + self._seconds
