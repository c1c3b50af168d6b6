"""Claims while ever more tenants wait at the same time: long evidence, and figures for whoever plans for many."""

import multiprocessing
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from store import schema
from store.database import Database
from tests.scale.claiming import claim
from tests.servers import database_of, postgres_server

PROCESSES = 4
CLAIMS = 50  # of each process
TENANTS = (10, 100, 1000)
JOBS = 110  # of each tenant
WANTED = 200  # jobs a second with the most tenants


@pytest.fixture(params=TENANTS)
def tenants(request: pytest.FixtureRequest) -> int:
    """How many tenants wait."""
    return int(request.param)


@pytest.fixture
def database_url(tenants: int) -> Iterator[str]:
    """A database on Postgres in which so many tenants have restorations waiting."""
    name = f"idprefer_claims_{tenants}_{os.getpid()}"
    with postgres_server() as server, database_of(server, name) as url:
        schema.upgrade(url)
        queue(url, tenants)
        yield url


def queue(url: str, tenants: int) -> None:
    """Queue restorations of so many tenants, in turns; written as rows, since a request for each would take minutes."""
    statements = (
        "INSERT INTO tenants (id, name, created_at) SELECT 'ten_' || n, n, now() FROM generate_series(1, :tenants) n",
        "INSERT INTO tenant_shares (tenant_id, weight, suspended) SELECT id, 1, false FROM tenants",
        "INSERT INTO tenant_lanes (tenant_id, kind, virtual_time) "
        "SELECT id, kind, 0 FROM tenants, unnest(array['assess', 'restore', 'train']) kind",
        "INSERT INTO jobs (tenant_id, id, kind, state, options, batch_key, attempt, strikes, metrics, last_sequence, "
        "virtual_floor, lease_epoch, queued_at, created_at) SELECT tenants.id, 'job_' || tenants.id || '_' || n, "
        "'restore', 'queued', '{}', 'fast', 0, 0, '{}', 1, 0, 0, now() + n * interval '1 ms' - interval '1 h', now() "
        "FROM tenants, generate_series(1, :jobs) n",
        "INSERT INTO job_events (tenant_id, job_id, sequence, type, data, created_at) "
        "SELECT tenant_id, id, 1, 'queued', '{}', now() FROM jobs",
        "ANALYZE",
    )
    with closing(Database(url)) as database, database.transaction(None) as session:
        for statement in statements:
            session.execute(text(statement), {"tenants": tenants, "jobs": JOBS})


@dataclass(frozen=True)
class Rate:
    """What was measured."""

    jobs: list[str]
    jobs_a_second: float
    seconds: list[float]

    def __str__(self) -> str:
        p99 = self.seconds[int(len(self.seconds) * 0.99)]
        claims = len(self.seconds) * self.jobs_a_second / max(1, len(self.jobs))
        return (
            f"{self.jobs_a_second:.0f} jobs/s in {claims:.0f} claims/s; a claim takes "
            f"{statistics.median(self.seconds) * 1000:.1f} ms in the middle, {p99 * 1000:.1f} ms at p99"
        )


def rate(url: str, limit: int) -> Rate:
    """Let all processes claim at once."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(PROCESSES) as pool:
        start = manager.Barrier(PROCESSES + 1)
        work = [(url, f"worker {n}", CLAIMS, limit, start) for n in range(PROCESSES)]
        running = pool.starmap_async(claim, work)
        start.wait()
        began = time.monotonic()
        shares = running.get()
    jobs = [job_id for each, _, _ in shares for job_id in each]
    seconds = sorted(second for _, each, _ in shares for second in each)
    return Rate(jobs, len(jobs) / (max(ended for _, _, ended in shares) - began), seconds)


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_claims_while_many_tenants_wait(database_url: str, tenants: int, capsys: pytest.CaptureFixture[str]) -> None:
    """However many tenants wait, four processes claim 200 jobs a second or more; alone and in fours, printed."""
    for limit in (1, 4):
        found = rate(database_url, limit)
        assert len(found.jobs) == len(set(found.jobs)) == PROCESSES * CLAIMS * limit
        turns = Counter(job_id.split("_")[2] for job_id in found.jobs)
        assert max(turns.values()) <= len(found.jobs) / tenants + 3  # whoever claims beside others may be one too early
        with capsys.disabled():
            print(f"\n{tenants} tenants, {limit} at a time: {found}; load {os.getloadavg()[0]:.1f}", end="")  # noqa: T201
    assert found.jobs_a_second >= WANTED
