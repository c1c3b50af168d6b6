"""A database that is away for a while costs no job anything: it is given back, blamed for nothing, and done once."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from housekeeping.loop import Caretaker
from housekeeping.parts import Parts
from store import ledger, models, schema
from store.database import Database
from store.doorbell import LocalDoorbell
from store.settings import load
from tests.servers import OwnServer, database_of, own_postgres
from tests.worker.house import House, darkroom, furnish
from tests.worker.test_supervisor import until
from worker import restoring
from worker.training import Training

PATIENCE_SECONDS = 60.0  # on a machine that does much else


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnServer]:
    """A Postgres server that these tests may stop."""
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def house(postgres: OwnServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An installation over that server."""
    with database_of(postgres.url, "idprefer") as url:
        schema.upgrade(url)
        changes = {"database_url": url}
        with closing(furnish(load(tmp_path_factory.mktemp("data")).model_copy(update=changes))) as made:
            yield made


@contextmanager
def in_a_thread(work: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Let something run for as long as the block lasts."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end()
        thread.join()


@contextmanager
def caring(house: House) -> Iterator[None]:
    """Let a caretaker go round."""
    stop = threading.Event()
    with closing(Database(house.settings.database_url, role="ledger")) as database:
        caretaker = Caretaker(Parts(database, house.safe, LocalDoorbell(threading.Event())))
        with in_a_thread(lambda: caretaker.work(stop), stop.set):
            yield


@pytest.fixture
def lease_seconds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """How long a lease lasts."""
    monkeypatch.setattr(ledger, "LEASE_SECONDS", request.param)
    return float(request.param)


@pytest.fixture
def working(house: House, tiny_folder: Path, lease_seconds: float) -> Iterator[House]:
    """The installation with a worker and a caretaker that live."""
    room = darkroom(house, tiny_folder, beat_seconds=lease_seconds / 3)
    with caring(house), closing(room.parts.database), room.worker.alive():

        def work() -> None:
            while not room.bell.stopped:
                if not room.worker.turn():
                    room.bell.wait(0.2)

        with in_a_thread(work, room.bell.stop):
            yield house


@contextmanager
def held_up(patch: pytest.MonkeyPatch, place: object, name: str) -> Iterator[threading.Event]:
    """Hold whoever calls this first until the event; afterwards nobody is held."""
    go_on, real = threading.Event(), getattr(place, name)

    def wait_and_do(*arguments: object) -> object:
        assert go_on.wait(PATIENCE_SECONDS)
        return real(*arguments)

    patch.setattr(place, name, wait_and_do)
    yield go_on
    go_on.set()


def away(postgres: OwnServer, seconds: float, go_on: threading.Event, after_seconds: float) -> None:
    """Stop the server for so long; meanwhile let go on who was held up."""
    postgres.end(signal.SIGINT)
    time.sleep(after_seconds)
    go_on.set()
    time.sleep(seconds - after_seconds)
    postgres.start()


def accepted(house: House, seed: int) -> str:
    """Return a person with a photo that is judged."""
    identity_id = house.identity()
    reference_id = house.reference(identity_id, seed)
    assert until(lambda: house.row(models.Reference, reference_id).state == "accepted", PATIENCE_SECONDS)
    return identity_id


def assert_done_once(house: House, job_id: str) -> None:
    """A job succeeds, once, and no worker is blamed for it."""
    started = time.monotonic()
    assert until(lambda: house.job(job_id).state not in ("queued", "running"), PATIENCE_SECONDS)
    print(f"ended {time.monotonic() - started:.1f} s after the database was back")  # noqa: T201 -- shown by pytest -s
    job = house.job(job_id)
    assert (job.state, job.strikes, job.strike_epoch) == ("succeeded", 0, None), job.error
    told = [event.type for event in house.events(job_id)]
    assert told.count("succeeded") == 1
    assert "failed" not in told


LEASES = pytest.mark.parametrize(
    ("lease_seconds", "away_seconds"),
    [
        pytest.param(2.0, 0.5, id="shorter than a lease", marks=pytest.mark.prove),
        pytest.param(2.0, 3.0, id="longer than a lease"),
        pytest.param(15.0, 10.0, id="10 s, as in production", marks=pytest.mark.prove),
        pytest.param(15.0, 20.0, id="20 s, as in production", marks=pytest.mark.prove),
    ],
    indirect=["lease_seconds"],
)


@LEASES
def test_a_training_meets_an_absent_database(
    working: House, postgres: OwnServer, away_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that goes on until its lease is over, or cannot write, is given back and goes on from where it was."""
    identity_id = accepted(working, 1)
    with held_up(monkeypatch, Training, "_publish") as go_on:
        job_id = working.training(identity_id, preset="fast", steps=4)
        assert until(lambda: working.job(job_id).checkpoint_step == 4, PATIENCE_SECONDS)
        away(postgres, away_seconds, go_on, 0.8 * away_seconds)
        assert_done_once(working, job_id)


@LEASES
def test_a_result_meets_an_absent_database(
    working: House, postgres: OwnServer, away_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restoration that is ready when the database is gone is given back as soon as it returns, and made again."""
    identity_id = accepted(working, 2)
    with held_up(monkeypatch, restoring, "comparison") as go_on:  # the last thing before it is published
        job_id = working.job_of(working.restoration(identity_id)).id
        assert until(lambda: working.job(job_id).state == "running", PATIENCE_SECONDS)
        away(postgres, away_seconds, go_on, 0.1 * away_seconds)
        assert_done_once(working, job_id)
    assert working.job(job_id).attempt == 2
