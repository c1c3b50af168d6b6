"""The caretaker's duties: what goes wrong in one duty, or takes long in it, neither ends nor holds up another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from housekeeping import retention
from housekeeping.loop import Caretaker, Rhythm
from housekeeping.outbox import Errands
from housekeeping.parts import Parts
from housekeeping.sweep import Sweeper
from tests.housekeeping.conftest import Caretaking

HURRY = Rhythm(errands=0.01, sweep=0.01, tidy=0.01, orphans=0.01)


@contextmanager
def _at_work(parts: Parts, rhythm: Rhythm = HURRY) -> Iterator[threading.Thread]:
    """Have a caretaker at work meanwhile."""
    stop = threading.Event()
    thread = threading.Thread(target=Caretaker(parts, rhythm).work, args=(stop,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()


def test_what_nobody_has_thought_of_ends_nothing(caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duty that fails in a way that was not foreseen is logged, done again at its time, and keeps no other."""
    tries, again, swept = [], threading.Event(), threading.Event()

    def fail(*_: object) -> int:
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
    assert {entry["duty"] for entry in logs if entry["event"] == "housekeeping_failed"} == {"orphans"}


@pytest.mark.parametrize("duty", ["tidy", "delete_orphans"])
def test_no_duty_waits_for_another(caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch, duty: str) -> None:
    """While old things are deleted or a large store is looked through, jobs are swept and errands begin."""
    begun, over = threading.Event(), threading.Event()
    others = {"swept": threading.Event(), "started": threading.Event()}

    def endless(*_: object) -> None:
        begun.set()
        over.wait(30)

    def note(what: str) -> None:
        if begun.is_set():
            others[what].set()

    monkeypatch.setattr(retention, duty, endless)
    monkeypatch.setattr(Sweeper, "sweep", lambda _sweeper: note("swept"))
    monkeypatch.setattr(Errands, "start_due", lambda _errands: note("started"))
    with _at_work(caretaking.parts):
        done = begun.wait(20) and all(other.wait(5) for other in others.values())
        over.set()
    assert done


def test_the_store_is_not_looked_through_at_every_start(
    caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caretaker that has only just been started sweeps and tidies; it hunts for orphans a while later."""
    hunts: list[Parts] = []
    rounds = threading.Semaphore(0)
    monkeypatch.setattr(retention, "delete_orphans", lambda parts, _stop: hunts.append(parts))
    monkeypatch.setattr(retention, "tidy", lambda _parts: rounds.release())
    monkeypatch.setattr(Sweeper, "sweep", lambda _sweeper: rounds.release())
    with _at_work(caretaking.parts, Rhythm(sweep=0.01, tidy=60.0, orphans=60.0)):
        assert all(rounds.acquire(timeout=20) for _ in range(5))
    assert hunts == []
