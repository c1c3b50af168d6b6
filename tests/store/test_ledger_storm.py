"""The ledger in a storm: whatever workers, clients and the caretaker do in whatever order, jobs stay whole."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import select, update

from store import ledger, models, queries
from store.columns import now
from store.errors import Fenced, StateConflict
from store.leases import Lease
from tests.store.archive import Archive

JOBS, WORKERS = 8, 3
_FOLLOWS = {
    "queued": {"queued", "running", "canceled", "expired"},
    "running": {"queued", "running", "succeeded", "failed", "canceling", "canceled"},
    "canceling": {"canceling", "canceled"},
    "succeeded": {"succeeded"},
    "failed": {"failed", "queued"},
    "canceled": {"canceled", "queued"},
    "expired": {"expired", "queued"},
}


class Storm:
    """Workers that keep every lease they ever had and go on writing under all of them."""

    def __init__(self, archive: Archive, seed: int) -> None:
        self.archive, self.random = archive, random.Random(seed)
        self.tenant = archive.tenant()
        with archive.api.transaction(self.tenant) as session:
            rows = [ledger.enqueue(session, models.Job(tenant_id=self.tenant, kind="restore")) for _ in range(JOBS)]
        self.states = {row.id: row.state for row in rows}
        self.leases: list[Lease] = []
        self.published: list[Lease] = []

    def step(self) -> None:
        """Do one thing at random, and look at all jobs."""
        deeds: list[Callable[[], object]] = [
            self.claim, self.claim, self.claim, self.publish, self.publish, self.fail, self.release, self.lose,
            self.sweep, self.cancel, self.retry, self.beat,
        ]  # fmt: skip
        self.random.choice(deeds)()
        self.look()

    def claim(self) -> None:
        with self.archive.of(None) as session:
            claims = ledger.claim(session, f"worker {self.random.randrange(WORKERS)}", limit=self.random.randint(1, 3))
        self.leases += [claim.lease for claim in claims]

    def publish(self) -> None:
        def succeed(lease: Lease) -> None:
            with self.archive.of(None) as session:
                ledger.succeed(session, lease, {})
            self.published.append(lease)

        self._under_a_lease(succeed)

    def fail(self) -> None:
        def write(lease: Lease) -> None:
            with self.archive.of(None) as session:
                ledger.fail(session, lease, "internal", "it broke")

        self._under_a_lease(write)

    def release(self) -> None:
        def write(lease: Lease) -> None:
            with self.archive.of(None) as session:
                ledger.release(session, lease)

        self._under_a_lease(write)

    def beat(self) -> None:
        with self.archive.of(None) as session:
            ledger.heartbeat(session, self.random.sample(self.leases, min(3, len(self.leases))))

    def lose(self) -> None:
        with self.archive.of(None) as session:
            session.execute(update(models.Job).where(models.Job.id == self._job()).values(lease_until=now(-1)))

    def sweep(self) -> None:
        with self.archive.of(None) as session:
            session.execute(update(models.Job).values(not_before=None))
            ledger.sweep(session)

    def cancel(self) -> None:
        self._by_client(ledger.cancel)

    def retry(self) -> None:
        self._by_client(ledger.retry)

    def look(self) -> None:
        """Every change of state is one that may follow; every job's events are numbered without a gap."""
        with self.archive.of(self.tenant) as session:
            for job in session.scalars(select(models.Job)):
                before = self.states[job.id]
                assert job.state in _FOLLOWS[before], (before, job.state)
                self.states[job.id] = job.state
                if job.state == "succeeded":
                    assert [lease.epoch for lease in self.published if lease.job_id == job.id] == [job.lease_epoch]

    def end(self) -> None:
        """Nothing was published twice, and every event has its number."""
        assert len({lease.job_id for lease in self.published}) == len(self.published)
        with self.archive.of(self.tenant) as session:
            for job_id in self.states:
                numbers = [event.sequence for event in queries.job_events(session, self.tenant, job_id, 0)]
                assert numbers == list(range(1, len(numbers) + 1))
                assert session.get_one(models.Job, (self.tenant, job_id)).last_sequence == len(numbers)

    def _under_a_lease(self, write: Callable[[Lease], None]) -> None:
        if self.leases:
            young = self.leases[-3:] if self.random.random() < 0.7 else self.leases
            with suppress(Fenced):
                write(self.random.choice(young))

    def _by_client(self, change: Callable[..., models.Job]) -> None:
        with suppress(StateConflict), self.archive.api.transaction(self.tenant) as session:
            change(session, session.get_one(models.Job, (self.tenant, self._job())))

    def _job(self) -> str:
        return self.random.choice(sorted(self.states))


def _rage(archive: Archive, seed: int, steps: int) -> None:
    storm = Storm(archive, seed)
    for _ in range(steps):
        storm.step()
    storm.end()
    assert storm.published


def test_a_short_storm(archive: Archive) -> None:
    """Eighty things at random leave every job whole."""
    _rage(archive, 1, 80)


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_long_storm(archive: Archive, seed: int) -> None:
    """So do five hundred, ten times over."""
    _rage(archive, seed, 500)
