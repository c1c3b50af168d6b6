"""Tests of worker processes that are killed: a training goes on from its checkpoint and ends as if nothing had been."""

import multiprocessing
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from core import precision
from housekeeping.loop import Caretaker, Rhythm
from housekeeping.parts import Parts as HousekeepingParts
from store import ledger, models
from store.database import Database
from tests.worker.house import House, darkroom, options_for
from tests.worker.test_supervisor import until
from tests.worker.true_worker import be_worker
from worker.supervisor import Supervisor

STEPS = 12
PATIENCE_SECONDS = 180.0  # on a machine that does much else


@pytest.fixture(scope="module")
def supervisor(house: House, tiny_folder: Path) -> Iterator[Supervisor]:
    """A worker process and a caretaker for the house, both quicker than `serve` has them."""
    options = options_for(tiny_folder, idle_seconds=5.0, beat_seconds=0.5, look_seconds=0.1)
    supervisor = Supervisor(partial(be_worker, house.settings, options, 2.0))
    # Forked from a process that has torch already: each one spawned anew would take seconds to import it.
    supervisor._context = multiprocessing.get_context("forkserver")  # type: ignore[assignment]
    supervisor._context.set_forkserver_preload(["tests.worker.true_worker"])
    with at_work(house, supervisor, Rhythm(errands=0.1, sweep=0.2)):
        yield supervisor


@contextmanager
def as_served(house: House, bundle: Path) -> Iterator[Supervisor]:
    """Have a worker process and a caretaker with the leases, beats and rhythm that `serve` has."""
    options = options_for(bundle, beat_seconds=ledger.HEARTBEAT_SECONDS, look_seconds=0.1)
    supervisor = Supervisor(partial(be_worker, house.settings, options, ledger.LEASE_SECONDS))
    with at_work(house, supervisor, Rhythm()):
        yield supervisor


@contextmanager
def at_work(house: House, supervisor: Supervisor, rhythm: Rhythm) -> Iterator[None]:
    """Let a worker process and a caretaker work meanwhile."""
    stop = threading.Event()
    with closing(Database(house.settings.database_url, role="ledger")) as database, supervisor.running():
        caretaker = Caretaker(HousekeepingParts(database, house.safe, supervisor), rhythm)
        thread = threading.Thread(target=caretaker.work, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.fixture(scope="module")
def expected(house: House, tiny_folder: Path) -> tuple[str, bytes]:
    """A person, and what a training of theirs makes when nothing happens to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "_GAIN_WANTED", 1e9)
        precision.compute_dtype.cache_clear()
        room = darkroom(house, tiny_folder)
        identity_id = house.identity()
        house.reference(identity_id, 1)
        with room.worker.alive():
            room.work()
            job_id = house.training(identity_id, preset="fast", steps=STEPS)
            room.work()
        room.parts.database.close()
        precision.compute_dtype.cache_clear()
    return identity_id, house.adapter_of(job_id)[1]


def killed_once(house: House, supervisor: Supervisor, identity_id: str, chance: random.Random) -> tuple[str, float]:
    """Run a training whose worker is killed at a random moment; return its job and the seconds until it was resumed."""
    job_id = house.training(identity_id, preset="fast", steps=STEPS)
    job = partial(house.job, job_id)
    supervisor.ring()
    at = chance.randrange(0, STEPS - 2)
    assert until(lambda: job().state != "queued", PATIENCE_SECONDS)
    assert until(lambda: (job().checkpoint_step or 0) >= at or job().state == "succeeded", PATIENCE_SECONDS)
    time.sleep(chance.uniform(0.0, 0.1))  # about a step: before, in or after the writing of a checkpoint
    assert supervisor.pid is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert until(lambda: job().attempt == 2 or job().state == "succeeded", PATIENCE_SECONDS)
    resumed = time.monotonic() - killed
    assert until(lambda: job().state == "succeeded", PATIENCE_SECONDS), job().error
    return job_id, resumed


def check(house: House, job_id: str, adapter: bytes) -> None:
    """Look at what a training left that was killed once."""
    job = house.job(job_id)
    assert house.adapter_of(job_id)[1] == adapter
    started = [event for event in house.events(job_id) if event.type == "started"]
    assert len(started) == job.attempt
    assert [event.type for event in house.events(job_id)].count("succeeded") == 1


def test_killed_trainings_end_as_if_nothing_had_been(
    house: House, supervisor: Supervisor, expected: tuple[str, bytes]
) -> None:
    """Three trainings, one SIGKILL of the worker in each at a random point: resumed, with the very same result."""
    identity_id, adapter = expected
    chance = random.Random(4)
    for _ in range(3):
        job_id, _ = killed_once(house, supervisor, identity_id, chance)
        check(house, job_id, adapter)
    assert house.row(models.Identity, identity_id).state == "personalized"


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_twenty_killed_trainings(
    house: House, expected: tuple[str, bytes], tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty trainings, one SIGKILL each: every one is resumed within 45 seconds and ends the same."""
    identity_id, adapter = expected
    chance = random.Random(20)
    resumed: list[float] = []
    with as_served(house, tiny_folder) as supervisor:
        while len(resumed) < 20:
            job_id, seconds = killed_once(house, supervisor, identity_id, chance)
            check(house, job_id, adapter)
            if house.job(job_id).attempt > 1:  # else it had ended before the signal came
                resumed.append(seconds)
    with capsys.disabled():
        print(  # noqa: T201 -- the figures are what this is for
            f"\nresumed after {statistics.median(resumed):.1f} s in the median, {max(resumed):.1f} s at most; "
            f"load {os.getloadavg()[0]:.1f}"
        )
    assert max(resumed) < 45


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_worker_that_slept_publishes_nothing(
    house: House, supervisor: Supervisor, expected: tuple[str, bytes], tiny_folder: Path
) -> None:
    """A worker that is stopped until another one has done its training, and then goes on, changes nothing."""
    identity_id, adapter = expected
    job_id = house.training(identity_id, preset="fast", steps=STEPS)
    supervisor.ring()
    assert until(lambda: (house.job(job_id).checkpoint_step or 0) >= 2, 90)
    assert supervisor.pid is not None
    os.kill(supervisor.pid, signal.SIGSTOP)
    try:
        assert until(lambda: house.job(job_id).state == "queued", 30)
        room = darkroom(house, tiny_folder)
        with room.worker.alive():
            room.work()
        room.parts.database.close()
        before = house.job(job_id)
        assert (before.state, before.lease_epoch) == ("succeeded", 2)
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)
    time.sleep(3)
    after = house.job(job_id)
    assert (after.state, after.lease_epoch, after.last_sequence) == ("succeeded", 2, before.last_sequence)
    assert house.adapter_of(job_id)[1] == adapter
    assert len([name for name in house.blobs() if f"/adapter/{job_id}/" in name]) == 1
