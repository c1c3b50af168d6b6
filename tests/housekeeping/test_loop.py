"""The caretaker's round: what goes wrong in one duty, or takes long in it, ends and holds up no other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from housekeeping import retention
from housekeeping.loop import Caretaker, Rhythm
from housekeeping.parts import Parts
from housekeeping.sweep import Sweeper
from tests.housekeeping.conftest import Caretaking


@contextmanager
def _at_work(parts: Parts) -> Iterator[threading.Thread]:
    """Have a caretaker at work meanwhile, in a hurry."""
    stop = threading.Event()
    hurry = Rhythm(errands=0.01, sweep=0.01, tidy=0.01, orphans=0.01)
    thread = threading.Thread(target=Caretaker(parts, hurry).work, args=(stop,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()


def test_what_nobody_has_thought_of_ends_nothing(caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duty that fails in a way that was not foreseen is logged, done again at its time, and keeps no other."""
    tries, again, swept = [], threading.Event(), threading.Event()

    def fail(_parts: Parts) -> int:
        tries.append("once more")
        if len(tries) == 2:
            again.set()
        raise RuntimeError("nobody thought of this")

    def sweep(_sweeper: Sweeper) -> None:
        if again.is_set():
            swept.set()

    monkeypatch.setattr(retention, "delete_orphans", fail)
    monkeypatch.setattr(Sweeper, "sweep", sweep)
    with capture_logs() as logs, _at_work(caretaking.parts) as thread:
        assert again.wait(20)
        assert swept.wait(20)
        assert thread.is_alive()
    assert "housekeeping_failed" in {entry["event"] for entry in logs}
