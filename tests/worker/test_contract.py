"""The contract of a worker with the rest of the house, over both stacks: embedded, and Postgres, S3 and Celery.

Each stack is the real thing in processes of its own; the order of the tests matters only in that the last one ends it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from cli.working import Choices, work, worker_options
from housekeeping.loop import Caretaker, Rhythm
from housekeeping.parts import Parts as HousekeepingParts
from store import models, schema
from store.blobs_of import open_blobs
from store.database import Database
from store.doorbell import CeleryDoorbell, Doorbell
from tests.production import environment_of, production_settings
from tests.s3_server import s3_server
from tests.servers import database_of, postgres_server, redis_server
from tests.worker.house import House, build, furnish
from tests.worker.test_supervisor import until
from worker.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0  # with a job on a machine that does much else


@dataclass
class Stack:
    """A house with a worker of its own, the bell between them, and how the worker is told to end."""

    house: House
    bell: Doorbell
    end: Callable[[], None]
    identity_id: str = ""

    def succeeds(self, job_id: str) -> bool:
        """Say whether a job succeeds, sooner or later."""
        return until(lambda: self.house.job(job_id).state == "succeeded", PATIENCE_SECONDS)


@pytest.fixture(scope="module", params=["embedded", "celery"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path
) -> Iterator[Stack]:
    """A stack with a person who has an accepted photo."""
    folder = tmp_path_factory.mktemp(request.param)
    with {"embedded": embedded, "celery": celery}[request.param](folder, tiny_folder) as made, caring(made):
        made.identity_id = made.house.identity()
        made.house.reference(made.identity_id, 1)
        made.bell.wake("assess")
        job_id = made.house.training(made.identity_id, preset="fast", steps=2) if accepted(made) else ""
        made.bell.wake("train")
        assert made.succeeds(job_id)
        yield made


def accepted(stack: Stack) -> bool:
    """Wait until the person's photo is accepted."""

    def is_ready() -> bool:
        state: str = stack.house.row(models.Identity, stack.identity_id).state
        return state == "ready"

    return until(is_ready, PATIENCE_SECONDS)


@contextmanager
def embedded(folder: Path, bundle: Path) -> Iterator[Stack]:
    """SQLite, files, and a worker process under a supervisor, as `serve` has them."""
    house = build(folder)
    choices = Choices(str(bundle), device="cpu")
    supervisor = Supervisor(work(house.settings, worker_options(house.settings, choices)))
    with closing(house), ExitStack() as running:
        running.enter_context(supervisor.running())
        yield Stack(house, supervisor, running.close)


@contextmanager
def celery(folder: Path, bundle: Path) -> Iterator[Stack]:
    """Postgres, an S3 server and `idprefer worker` under Celery, as in production."""
    with ExitStack() as servers:
        server = servers.enter_context(postgres_server())
        url = servers.enter_context(database_of(server, f"idprefer_worker_{os.getpid()}"))
        redis_url = servers.enter_context(redis_server(folder))
        s3 = servers.enter_context(s3_server())
        schema.upgrade(url)
        with redis.Redis.from_url(redis_url) as broker:
            broker.flushdb()
        settings = production_settings(url, redis_url, s3)
        house = servers.enter_context(closing(furnish(settings)))
        bell = servers.enter_context(closing(CeleryDoorbell(redis_url)))
        command = [sys.executable, "-m", "cli.app", "worker", "--bundle", str(bundle), "--device", "cpu"]
        process = servers.enter_context(
            subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment_of(settings)})
        )
        end = _terminate(process)
        servers.callback(end)
        yield Stack(house, bell, end)


def _terminate(process: "subprocess.Popen[bytes]") -> Callable[[], None]:
    def end() -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    return end


@contextmanager
def caring(stack: Stack) -> Iterator[None]:
    """Keep house meanwhile."""
    stop = threading.Event()
    settings = stack.house.settings
    with closing(Database(settings.database_url, role="ledger")) as database:
        parts = HousekeepingParts(database, stack.house.safe, stack.bell)
        thread = threading.Thread(target=Caretaker(parts, Rhythm(errands=0.1, sweep=60.0)).work, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def test_a_ring_is_heard_at_once(stack: Stack) -> None:
    """A job starts within half a second of its ring."""
    waits = []
    for _ in range(3):
        time.sleep(0.3)
        restoration_id = stack.house.restoration(stack.identity_id)
        stack.bell.wake("restore")
        job_id = stack.house.row(models.Restoration, restoration_id).job_id
        assert stack.succeeds(job_id), stack.house.job(job_id).error
        job = stack.house.job(job_id)
        waits.append((job.started_at - job.queued_at).total_seconds())
    assert min(waits) < 0.5


def test_found_without_a_ring(stack: Stack) -> None:
    """A bell that was lost makes a job late by a few seconds, and no more."""
    restoration_id = stack.house.restoration(stack.identity_id, tier="instant")
    assert stack.succeeds(stack.house.row(models.Restoration, restoration_id).job_id)


def test_rings_without_number(stack: Stack) -> None:
    """However often it rings, a job runs once."""
    restoration_id = stack.house.restoration(stack.identity_id)
    for _ in range(20):
        stack.bell.wake("restore")
    job_id = stack.house.row(models.Restoration, restoration_id).job_id
    assert stack.succeeds(job_id)
    assert [event.type for event in stack.house.events(job_id)].count("started") == 1


def test_instant_while_a_training_runs_and_then_cancelled(stack: Stack) -> None:
    """On the only worker a restoration is let past, and a training that is cancelled stops at once."""
    house = stack.house
    job_id = house.training(stack.identity_id, preset="fast", steps=5000)
    stack.bell.wake("train")
    assert until(lambda: house.job(job_id).progress is not None, PATIENCE_SECONDS)
    restoration_id = house.restoration(stack.identity_id, tier="instant")
    stack.bell.wake("restore")
    assert stack.succeeds(house.row(models.Restoration, restoration_id).job_id)
    assert house.job(job_id).state == "running"
    house.cancel(job_id)
    assert until(lambda: house.job(job_id).state == "canceled", 10)


def test_erased_while_it_is_worked_on(stack: Stack) -> None:
    """Erasing a person stops their training, empties the safe of them, and is signed when no worker holds them."""
    house = stack.house
    identity_id = house.identity()
    reference_id = house.reference(identity_id, 5)
    stack.bell.wake("assess")
    assert until(lambda: house.row(models.Reference, reference_id).state == "accepted", PATIENCE_SECONDS)
    job_id = house.training(identity_id, preset="fast", steps=5000)
    stack.bell.wake("train")
    assert until(lambda: house.job(job_id).progress is not None, PATIENCE_SECONDS)
    erasure_id = house.erase(identity_id)
    assert until(lambda: house.job(job_id).state == "canceled", 10)
    assert until(lambda: house.row(models.Erasure, erasure_id).state == "completed", PATIENCE_SECONDS)
    assert not [one for one in open_blobs(house.settings).list(f"{house.tenant_id}/") if identity_id in one.name]
    assert house.row(models.Erasure, erasure_id).receipt["signature"]


def test_ended_in_good_order(stack: Stack) -> None:
    """A worker that is told to end gives its training back with a checkpoint, without blame, and signs off."""
    house = stack.house
    job_id = house.training(stack.identity_id, preset="fast", steps=5000)
    stack.bell.wake("train")
    assert until(lambda: house.job(job_id).progress is not None, PATIENCE_SECONDS)
    stack.end()
    job = house.job(job_id)
    assert (job.state, job.strikes) == ("queued", 0)
    assert job.checkpoint_step > 0
    database = Database(house.settings.database_url, role="ledger")
    with closing(database), database.transaction(None) as session:
        assert session.query(models.Worker).count() == 0
