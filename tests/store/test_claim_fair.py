"""Fair shares in a queue under load: time is counted in batches of one worker, jobs come as tenants send them."""

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from statistics import median
from typing import Any

import pytest
from sqlalchemy import select, update

from store import models, operators, ranking
from store.columns import now
from store.database import Database
from tests.store.archive import Archive

BATCH = 8  # restorations that one worker runs at once
ROUNDS = 30  # batches until everything is looked at
FLOOD = 500


def _queue(archive: Archive, tenant_id: str, count: int, preset: str = "fast") -> list[str]:
    """Queue so many restorations at once."""
    with archive.api.transaction(tenant_id) as session:
        clock = session.scalar(select(ranking.lane_clock("restore")))
        values = {"tenant_id": tenant_id, "kind": "restore", "batch_key": preset, "virtual_floor": clock}
        rows = [models.Job(**values) for _ in range(count)]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def _waits(archive: Archive, calm: Mapping[str, str]) -> list[int]:
    """Return how many batches began after a job was queued until its own did; each tenant sends one now and then."""
    queued: dict[str, int] = {}
    waits = []
    for batch in range(ROUNDS):
        for place, (tenant_id, preset) in enumerate(calm.items()):
            if batch % 3 == place and batch < ROUNDS - 6:
                queued[_queue(archive, tenant_id, 1, preset)[0]] = batch
        started = {claim.lease.job_id for claim in archive.claim("restore", limit=BATCH)}
        waits += [batch - queued.pop(job_id) for job_id in started & queued.keys()]
    assert not queued, "everything had its turn"
    return waits


def test_a_flood_costs_the_others_one_batch_at_most(archive: Archive) -> None:
    """Three tenants, of whom one sends 500 jobs at once: the others' median wait grows by one batch at most."""
    one, two, flood = (archive.tenant(name, max_queued_jobs=None) for name in ("one", "two", "flood"))
    calm = {one: "fast", two: "best"}  # the second's jobs never fit the flood's batches
    quiet = _waits(archive, calm)
    _queue(archive, flood, FLOOD)
    flooded = _waits(archive, calm)
    assert len(flooded) == len(quiet) >= 16
    assert median(flooded) <= median(quiet) + 1
    assert max(flooded) <= max(quiet) + 2


@pytest.mark.parametrize(
    ("held", "free"),
    [
        ({"suspended": True}, {"suspended": False}),
        ({"max_running_jobs": 1}, {"max_running_jobs": None}),
        ({"max_running_jobs": 1}, {"max_running_jobs": 60}),
    ],
)
def test_who_was_held_back_has_saved_nothing_up(archive: Archive, held: dict[str, Any], free: dict[str, Any]) -> None:
    """A tenant that was suspended, or limited to one long job, shares from then on: it does not take all turns."""
    tenant, other = archive.tenant("held"), archive.tenant("other")
    _queue(archive, tenant, 20)
    archive.claim("restore")
    with archive.api.transaction(None) as session:
        operators.change(session, tenant, **held)
    _queue(archive, other, 40)
    for _ in range(20):
        assert archive.claim("restore")[0].lease.tenant_id == other
    with closing(Database(archive.api.url, "operator")) as database, database.transaction(None) as session:
        operators.change(session, tenant, **free)
    turns = Counter(archive.claim("restore")[0].lease.tenant_id for _ in range(10))
    assert abs(turns[tenant] - turns[other]) <= 2


def test_late_jobs_hide_none_behind_them(archive: Archive) -> None:
    """However many jobs are past their deadline and not swept yet, what a tenant queued after them is found."""
    tenant = archive.tenant()
    _queue(archive, tenant, ranking.LOOK_AHEAD[1] + 6)
    with archive.of(None) as session:
        session.execute(update(models.Job).values(deadline_at=now(-1.0)))
    behind = _queue(archive, tenant, 1)
    assert [claim.lease.job_id for claim in archive.claim("restore")] == behind


def test_shares_follow_weights_in_batches(archive: Archive) -> None:
    """Three tenants that all send more than there is time for share the batches by their weights, within a fifth."""
    weights = {
        archive.tenant(f"of {weight}", weight=weight, max_queued_jobs=None): weight for weight in (1.0, 2.0, 4.0)
    }
    for tenant_id in weights:
        _queue(archive, tenant_id, 160)
    batches = [archive.claim("restore", limit=BATCH) for _ in range(ROUNDS)]
    served = Counter(claim.lease.tenant_id for batch in batches for claim in batch)
    for tenant_id, weight in weights.items():
        expected = served.total() * weight / sum(weights.values())
        assert abs(served[tenant_id] - expected) <= 0.2 * expected, (weight, served)


def test_more_tenants_than_are_looked_at_at_once(archive: Archive) -> None:
    """However many tenants wait, none has a second turn before each has had its first."""
    count = ranking.AMONG + 5
    with archive.api.transaction(None) as session:
        tenants = [operators.create_tenant(session, f"tenant {n}")[0].id for n in range(count)]
    for tenant_id in tenants:
        _queue(archive, tenant_id, 2)
    served: list[str] = []
    while len(served) < count:
        served += [claim.lease.tenant_id for claim in archive.claim("restore", limit=min(BATCH, count - len(served)))]
    assert len(set(served)) == count
