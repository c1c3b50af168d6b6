"""How fast jobs are claimed through one Postgres: long evidence, and a figure for whoever plans for many workers."""

import multiprocessing
import statistics
import time

import pytest

from store import ledger, models
from store.database import Database
from tests.store.archive import Archive

JOBS, PROCESSES, BATCH = 2000, 4, 4
WANTED = 200  # jobs a second
Claimed = tuple[list[str], list[float]]


def _claim(url: str, worker_id: str) -> Claimed:
    """Claim until nothing is left; return the jobs, and the seconds that each claim took."""
    database = Database(url, "ledger", pool_size=1)
    jobs: list[str] = []
    seconds: list[float] = []
    while True:
        started = time.perf_counter()
        with database.transaction(None) as session:
            claims = ledger.claim(session, worker_id, limit=BATCH)
        if not claims:
            database.close()
            return jobs, seconds
        seconds.append(time.perf_counter() - started)
        jobs += [claim.lease.job_id for claim in claims]


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_many_processes_claim_through_one_postgres(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    """Two thousand jobs of three tenants, claimed by four processes in fours: each once, 200 a second or more."""
    for name in ("one", "two", "three"):
        tenant = archive.tenant(name, max_queued_jobs=None)
        with archive.api.transaction(tenant) as session:
            for _ in range(JOBS // 3):
                session.add(models.Job(tenant_id=tenant, kind="restore"))
                session.flush()  # each at its own moment, as jobs come
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        started = time.perf_counter()
        shares = pool.starmap(_claim, [(archive.ledger.url, f"worker {n}") for n in range(PROCESSES)])
        took = time.perf_counter() - started
    taken = [job_id for jobs, _ in shares for job_id in jobs]
    seconds = sorted(second for _, each in shares for second in each)
    assert len(taken) == len(set(taken)) == JOBS // 3 * 3
    p99 = seconds[int(len(seconds) * 0.99)]
    with capsys.disabled():
        print(  # noqa: T201 -- the figure is what this is for
            f"\n{len(taken) / took:.0f} jobs/s by {PROCESSES} processes in {BATCH}s; a claim takes "
            f"{statistics.median(seconds) * 1000:.0f} ms in the middle, {p99 * 1000:.0f} ms at p99"
        )
    assert len(taken) / took >= WANTED
