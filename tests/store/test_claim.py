"""Who is next: lanes, fair shares, warm adapters, quotas; and many who claim at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError

from store import ledger, models, operators, ranking
from store.columns import now
from store.database import Database
from store.leases import Claim
from tests.store.archive import Archive


def _queue(archive: Archive, tenant_id: str, count: int, kind: str = "restore", **values: str) -> list[str]:
    """Queue plain jobs."""
    with archive.api.transaction(tenant_id) as session:
        return [ledger.enqueue(session, models.Job(tenant_id=tenant_id, kind=kind, **values)).id for _ in range(count)]


def _claim_all(database: Database, worker_id: str, limit: int) -> list[Claim]:
    """Claim until nothing is left."""
    claims: list[Claim] = []
    while True:
        try:
            with database.transaction(None) as session:
                found = ledger.claim(session, worker_id, limit=limit)
        except OperationalError:  # SQLite on a machine that is too busy; a worker too comes back later
            continue
        if not found:
            return claims
        assert len(found) <= limit
        claims += found


def test_eight_claimers_share_without_overlap(archive: Archive) -> None:
    """Eight workers that claim three at a time take every job once, and never more than they asked for."""
    tenants = [archive.tenant(f"tenant {n}") for n in range(3)]
    queued = {job_id for tenant in tenants for job_id in _queue(archive, tenant, 16)}
    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(lambda n: _claim_all(archive.ledger, f"worker {n}", 3), range(8)))
    taken = [claim.lease.job_id for share in shares for claim in share]
    assert len(taken) == len(set(taken))
    assert set(taken) == queued
    assert all(claim.lease.epoch == 1 for share in shares for claim in share)


def test_lanes_go_before_each_other(archive: Archive) -> None:
    """Photos are judged before restorations, and those go before trainings, whoever came first."""
    tenant = archive.tenant()
    for kind in ("train", "restore", "assess"):
        _queue(archive, tenant, 1, kind)
    assert [archive.claim()[0].kind for _ in range(3)] == ["assess", "restore", "train"]


def test_a_training_is_not_starved(archive: Archive) -> None:
    """A training that has waited for a minute goes first; while it runs, other trainings wait behind everything."""
    flood, calm = archive.tenant("flood"), archive.tenant("calm")
    _queue(archive, flood, 3)
    _queue(archive, calm, 2, "train")
    assert archive.claim()[0].kind == "restore"
    with archive.of(None) as session:
        session.execute(update(models.Job).where(models.Job.kind == "train").values(queued_at=now(-61)))
    assert [archive.claim()[0].kind for _ in range(4)] == ["train", "restore", "restore", "train"]


def test_a_flood_does_not_drown_others(archive: Archive) -> None:
    """A tenant that comes after another's flood of jobs gets every second turn from then on."""
    flood, calm = archive.tenant("flood"), archive.tenant("calm")
    _queue(archive, flood, 20)
    for _ in range(5):
        archive.claim()
    _queue(archive, calm, 4)
    turns = [archive.claim()[0].lease.tenant_id for _ in range(8)]
    assert Counter(turns) == {flood: 4, calm: 4}
    assert calm in turns[:2]


def test_shares_follow_weights(archive: Archive) -> None:
    """A tenant of three times the weight gets three times the turns."""
    heavy, light = archive.tenant("heavy", weight=3.0), archive.tenant("light", weight=1.0)
    for tenant in (heavy, light):
        _queue(archive, tenant, 12)
    turns = Counter(archive.claim()[0].lease.tenant_id for _ in range(12))
    assert turns[heavy] == pytest.approx(9, abs=1)


def test_who_was_idle_has_saved_nothing_up(archive: Archive) -> None:
    """A tenant that asks for nothing for a long time does not get all turns afterwards."""
    busy, idle = archive.tenant("busy"), archive.tenant("idle")
    _queue(archive, busy, 12)
    for _ in range(8):
        archive.claim()
    _queue(archive, idle, 6)
    turns = Counter(archive.claim()[0].lease.tenant_id for _ in range(6))
    assert turns[busy] >= 2


def test_the_rest_of_a_claim_fits_the_first(archive: Archive) -> None:
    """Jobs claimed together may share a batch, whichever tenants they are of; others stay."""
    one, two = archive.tenant("one"), archive.tenant("two")
    _queue(archive, one, 1, batch_key="fast")
    _queue(archive, one, 1, batch_key="best")
    _queue(archive, two, 2, batch_key="fast")
    claims = archive.claim(limit=8)
    assert Counter(claim.lease.tenant_id for claim in claims) == {one: 1, two: 2}
    assert len(archive.claim(limit=8)) == 1


def test_trainings_are_claimed_alone(archive: Archive) -> None:
    """However many a worker asks for, a training comes alone."""
    _queue(archive, archive.tenant(), 3, "train")
    assert len(archive.claim(limit=8)) == 1


def test_a_warm_adapter_goes_first_within_bounds(archive: Archive) -> None:
    """A job whose adapter is loaded goes before others, but only for so long: nobody starves."""
    warm, cold = archive.tenant("warm"), archive.tenant("cold")
    _queue(archive, cold, 1)
    _queue(archive, warm, 20, warm_key="adapter")
    turns = [archive.claim(warm=["adapter"])[0].lease.tenant_id for _ in range(10)]
    assert turns[0] == warm
    assert turns.index(cold) <= ranking.WARM_AHEAD + 1


def test_a_suspended_tenant_waits(archive: Archive) -> None:
    """Nothing of a suspended tenant is claimed until it is free again."""
    tenant = archive.tenant(suspended=True)
    _queue(archive, tenant, 1)
    assert archive.claim() == []
    with archive.api.transaction(None) as session:
        operators.change(session, tenant, suspended=False)
    assert len(archive.claim()) == 1


def test_a_quota_holds_however_many_claim(archive: Archive) -> None:
    """A tenant never has more jobs running than it may, even when eight workers claim at once."""
    tenant = archive.tenant(max_running_jobs=2)
    _queue(archive, tenant, 12)
    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(lambda n: _claim_all(archive.ledger, f"worker {n}", 2), range(8)))
    assert sum(map(len, shares)) == 2
    with archive.of(None) as session:
        states = Counter(session.scalars(select(models.Job.state)))
    assert states == {"running": 2, "queued": 10}


def test_a_quota_is_its_tenants_own(archive: Archive) -> None:
    """Whoever has no quota waits for nobody's, and a job is given back only where there was a quota to keep."""
    limited, free = archive.tenant("limited", max_running_jobs=1), archive.tenant("free")
    _queue(archive, limited, 3)
    _queue(archive, free, 3)
    claims = _claim_all(archive.ledger, "worker", 1)
    assert Counter(claim.lease.tenant_id for claim in claims) == {limited: 1, free: 3}
    with archive.of(None) as session:
        events = Counter(session.scalars(select(models.JobEvent.type)))
    assert events == {"queued": 6, "started": 4}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_skipped_locks_are_no_wait(archive: Archive) -> None:
    """A claimer passes over what another one has locked, instead of waiting for it."""
    for name in ("one", "two"):
        _queue(archive, archive.tenant(name), 1)
    with archive.of(None) as first, archive.of(None) as second:
        second.execute(text("SET LOCAL statement_timeout = '2s'"))
        held = ledger.claim(first, "one")
        assert ledger.claim(second, "two") != held
