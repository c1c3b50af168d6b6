"""A starved lane gets turns: whatever flood there is in another one, with fast workers and with slow ones."""

from collections import Counter
from datetime import timedelta

from sqlalchemy import select, update

from store import ledger, operators, ranking
from store.columns import now
from store.leases import Claim
from store.models import Job, TenantLane
from tests.store.archive import Archive

WAITED_SECONDS = ranking.PATIENCE_SECONDS + 1


def _queue(archive: Archive, kind: str, count: int, age_seconds: float = 0.0, name: str = "tenant") -> str:
    """Queue jobs of a tenant of its own, as if so long ago."""
    tenant = archive.tenant(name)
    with archive.api.transaction(tenant) as session:
        for _ in range(count):
            ledger.enqueue(session, Job(tenant_id=tenant, kind=kind))
    with archive.of(None) as session:
        session.execute(update(Job).where(Job.tenant_id == tenant).values(queued_at=now(-age_seconds)))
    return tenant


def _pass(archive: Archive, seconds: float) -> None:
    """Let time pass, by setting every moment that far back."""
    past = timedelta(seconds=seconds)
    with archive.of(None) as session:
        for lane in session.scalars(select(TenantLane).where(TenantLane.served_at.is_not(None))):
            assert lane.served_at is not None
            lane.served_at -= past
        for job in session.scalars(select(Job)):
            job.queued_at -= past
            job.finished_at = job.finished_at and job.finished_at - past


def _work(archive: Archive, count: int, seconds: float) -> list[Claim]:
    """Claim and end so many jobs as one worker that takes so long for each."""
    claims = []
    for _ in range(count):
        claims += archive.claim()
        _pass(archive, seconds)
        with archive.of(None) as session:
            ledger.succeed(session, claims[-1].lease, {})
    return claims


def _turns(archive: Archive, count: int, seconds: float) -> str:
    """Return the first letters of the lanes of the jobs that one worker takes."""
    return "".join(claim.kind[0] for claim in _work(archive, count, seconds))


def test_an_assess_flood_leaves_restorations_turns(archive: Archive) -> None:
    """While one tenant's photos come faster than they are judged, the others' restorations go every five seconds."""
    _queue(archive, "assess", 12, WAITED_SECONDS, "flood")
    _queue(archive, "restore", 3, WAITED_SECONDS)
    assert _turns(archive, 9, seconds=2) == "araaraara"


def test_a_restore_flood_leaves_trainings_turns_and_is_not_starved_by_them(archive: Archive) -> None:
    """On one worker trainings that wait go one by one, and a minute of restorations after each."""
    _queue(archive, "restore", 12, WAITED_SECONDS, "flood")
    _queue(archive, "train", 4, WAITED_SECONDS)
    assert _turns(archive, 10, seconds=25) == "rtrrrtrrrt"


def test_no_lane_is_starved_of_its_own_slowness(archive: Archive) -> None:
    """Where each restoration takes long, a photo that has just come is judged between two of them."""
    _queue(archive, "restore", 4, WAITED_SECONDS, "flood")
    _queue(archive, "assess", 4)
    assert _turns(archive, 6, seconds=10) == "ararar"


def test_starved_lanes_take_turns(archive: Archive) -> None:
    """Of several starved lanes the one goes first that had no turn for longest."""
    for kind, name in (("assess", "flood"), ("restore", "other flood"), ("train", "calm")):
        _queue(archive, kind, 5, WAITED_SECONDS, name)
    turns = _turns(archive, 6, seconds=10)
    assert (turns[0], sorted(turns[1:3]), turns[3:]) == ("a", ["r", "t"], "ara")


def test_who_may_not_start_starves_no_lane(archive: Archive) -> None:
    """What a suspended tenant has waiting for long gives the other restorations no turn before their time."""
    suspended = _queue(archive, "restore", 1, WAITED_SECONDS, "suspended")
    with archive.api.transaction(None) as session:
        operators.change(session, suspended, suspended=True)
    _queue(archive, "restore", 1)
    _queue(archive, "assess", 4, WAITED_SECONDS, "flood")
    assert _turns(archive, 4, seconds=2) == "aaaa"


def test_a_training_canceled_while_it_waited_held_nobody_up(archive: Archive) -> None:
    """Whoever queues trainings and takes them back keeps no others from their turn."""
    _queue(archive, "restore", 3, WAITED_SECONDS, "flood")
    _queue(archive, "train", 1, WAITED_SECONDS)
    other = _queue(archive, "train", 1, name="other")
    assert _turns(archive, 1, seconds=2) == "r"
    with archive.api.transaction(other) as session:
        ledger.cancel(session, session.scalars(select(Job).where(Job.tenant_id == other)).one())
    assert archive.claim()[0].kind == "train"


def test_a_turn_goes_by_fair_shares(archive: Archive) -> None:
    """Of a starved lane's turns a tenant that has just come has its share, beside the one that has waited for long."""
    _queue(archive, "assess", 9, name="flood")
    old, new = _queue(archive, "restore", 9, WAITED_SECONDS), _queue(archive, "restore", 2, name="new")
    served = [claim.lease.tenant_id for claim in _work(archive, 12, seconds=2) if claim.kind == "restore"]
    assert Counter(served) == {old: 2, new: 2}
