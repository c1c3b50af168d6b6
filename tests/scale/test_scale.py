"""More workers, more work done: throughput of 1, 2 and 4 worker processes over one Postgres."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest

from store import models, operators, schema
from store.database import Database
from tests.scale.napping import work
from tests.servers import database_of, postgres_server

JOBS = 60  # for each worker
WORKERS = (1, 2, 4)
ROUNDS = 3
SHORT_OF_LINEAR = 0.15


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A database of our own on Postgres."""
    with postgres_server() as server, database_of(server, f"idprefer_scale_{os.getpid()}") as url:
        schema.upgrade(url)
        yield url


def queue(url: str, jobs: int) -> None:
    """Queue plain restorations of two tenants, each at its own moment."""
    with closing(Database(url, "api")) as database:
        for name in ("one", "two"):
            with database.transaction(None) as session:
                tenant_id = operators.create_tenant(session, name)[0].id
            for _ in range(jobs // 2):
                with database.transaction(tenant_id) as session:
                    session.add(models.Job(tenant_id=tenant_id, kind="restore"))


def throughput(url: str, folder: Path, workers: int) -> float:
    """Return jobs a second of so many workers together."""
    queue(url, JOBS * workers)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.scale.napping"])  # torch is imported once, not by each
    with context.Manager() as manager, ProcessPoolExecutor(workers, context) as pool:
        start = manager.Barrier(workers)
        shares = [future.result() for future in [pool.submit(work, url, folder, start) for _ in range(workers)]]
    assert sum(done for done, _, _ in shares) == JOBS * workers
    return JOBS * workers / (max(ended for _, _, ended in shares) - min(began for _, began, _ in shares))


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_throughput_grows_with_workers(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two workers do twice as much as one, as far as there are cores for the rest of a job; the rates are printed."""
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for _ in range(ROUNDS):  # in turns: whatever else the machine does meets all alike
        for workers in WORKERS:
            rates[workers].append(throughput(database_url, tmp_path, workers))
    found = {workers: median(each) for workers, each in rates.items()}
    cores = len(os.sched_getaffinity(0))
    with capsys.disabled():
        for workers, rate in found.items():
            print(f"\n{workers} workers: {rate:.1f} jobs/s, {rate / found[1]:.2f} times one", end="")  # noqa: T201
        print(f"\n{cores} cores, load {os.getloadavg()[0]:.1f}")  # noqa: T201 -- the figures are what this is for
    for workers in (workers for workers in WORKERS if workers <= cores):
        assert found[workers] >= (1 - SHORT_OF_LINEAR) * workers * found[1], found
