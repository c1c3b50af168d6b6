"""Tests of the caretaker's other duties: sweeping, erasing, expiring, tidying, and that one failure stops no other."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from housekeeping import outbox as errands
from housekeeping import retention
from housekeeping.loop import Caretaker, Rhythm
from store import erasures, ledger, models, operators, outbox, people, receipts, workers
from store.columns import age, now
from store.errors import StorageDown
from tests.housekeeping.conftest import Caretaking
from tests.worker.house import House


def test_lost_jobs_are_queued_and_rung_again(house: House, caretaking: Caretaking) -> None:
    """A job whose worker is silent for a lease goes back to the queue, and the bell rings for what waits long."""
    house.reference(house.identity(), 1)
    with caretaking.parts.database.transaction(None) as session:
        (claim,) = ledger.claim(session, workers.register(session, "cpu", "tiny").id)
        session.execute(update(models.Job).values(lease_until=now(-1)))
    caretaking.sweep()
    assert house.job(claim.lease.job_id).state == "queued"
    with caretaking.parts.database.transaction(None) as session:
        session.execute(update(models.Job).values(queued_at=now(-60)))
    caretaking.sweep()
    assert "assess" in caretaking.rings.kinds


def test_erasing(house: House, caretaking: Caretaking) -> None:
    """Objects are deleted, storage is listed again, and the receipt is genuine; other people's things stay."""
    ada, bea = house.identity(), house.identity()
    house.reference(ada, 1)
    house.reference(bea, 2)
    erasure_id = house.erase(ada)
    caretaking.errands_done()
    row = house.row(models.Erasure, erasure_id)
    assert row.state == "completed"
    assert receipts.is_genuine(row.receipt)
    assert [name for name in house.blobs() if ada in name] == [f"_erasures/{house.tenant_id}/{ada}"]
    assert [name for name in house.blobs() if bea in name]


def test_an_erasure_waits_for_the_workers(house: House, caretaking: Caretaking) -> None:
    """It is not complete as long as a living worker has not dropped the person from its caches."""
    ada = house.identity()
    house.reference(ada, 1)
    with caretaking.parts.database.transaction(None) as session:
        worker_id = workers.register(session, "cpu", "tiny").id
    erasure_id = house.erase(ada)
    caretaking.errands_done()
    assert house.row(models.Erasure, erasure_id).state == "running"
    with caretaking.parts.database.transaction(None) as session:
        orders = workers.beat(session, worker_id, "idle")
        workers.evicted(session, worker_id, orders.evictions[-1].sequence)
    caretaking.hurry()
    caretaking.errands_done()
    assert house.row(models.Erasure, erasure_id).state == "completed"


def test_what_has_had_its_time(house: House, caretaking: Caretaking) -> None:
    """A person whose retention is over is erased; one that was used meanwhile is looked at again later."""
    with house.desk.transaction(house.tenant_id) as session:
        old, used = (people.create(session, house.tenant_id, name, 3600).id for name in ("old", "used"))
        mine = models.Identity.id == old
        session.execute(update(models.Identity).where(mine).values(last_active_at=now(-4000)))
    caretaking.hurry()
    caretaking.errands_done()
    assert house.row(models.Identity, old).state in ("erasing", "erased")
    assert house.row(models.Identity, used).state == "draft"


def test_a_schedule_is_enforced(house: House, caretaking: Caretaking) -> None:
    """On its round the caretaker deletes what a tenant's schedule says is over, object and all, and writes it down."""
    house.reference(house.identity(), 1)
    with house.desk.transaction(None) as session:
        operators.change(session, house.tenant_id, references_days=30)
    retention.tidy(caretaking.parts)
    assert house.blobs() != []
    with house.desk.transaction(house.tenant_id) as session:
        session.execute(update(models.Reference).values(created_at=now(-31 * 86_400)))
    retention.tidy(caretaking.parts)
    caretaking.errands_done()
    assert house.blobs() == []
    with house.desk.transaction(house.tenant_id) as session:
        event = session.scalars(select(models.AuditEvent).order_by(models.AuditEvent.id.desc()).limit(1)).one()
        assert (event.action, event.actor) == ("reference.expired", "housekeeping")


def test_orphans(house: House, caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old object that no row knows is deleted; a young one is left, and so is what a row knows."""
    house.reference(house.identity(), 1)
    name = f"{house.tenant_id}/idn_nobody/result/left"
    house.safe.blobs.put(name, lambda: [b"left behind"], 11)
    assert retention.delete_orphans(caretaking.parts) == 0
    monkeypatch.setattr(retention, "_YOUNG", datetime.now(UTC) - datetime.now(UTC))
    assert retention.delete_orphans(caretaking.parts) == 1
    assert name not in house.blobs()
    assert len(house.blobs()) == 1


def test_tidying(house: House, caretaking: Caretaking) -> None:
    """Tidying goes through all tenants."""
    house.other_tenant()
    retention.tidy(caretaking.parts)


@pytest.mark.parametrize("error", [StorageDown("got no answer, wanted one"), KeyError("nobody thought of this")])
def test_an_errand_that_fails_is_put_off(
    house: House, caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What fails, foreseen or not, is logged and tried again soon, and holds up no other errand."""
    tried: list[str] = []

    def fail(_parts: Any, errand: outbox.Errand) -> None:
        tried.append(errand.id)
        raise error

    monkeypatch.setattr(errands, "_KINDS", {**errands._KINDS, "delete_blobs": fail})
    with house.desk.transaction(house.tenant_id) as session:
        outbox.add(session, house.tenant_id, "delete_blobs", {"prefix": "x/y"})
    erasure_id = house.erase(house.identity())
    with capture_logs() as logs:
        caretaking.errands_done()
    assert [entry["kind"] for entry in logs if entry["event"] == "errand_failed"] == ["delete_blobs"]
    assert len(tried) == 1
    with caretaking.parts.database.transaction(None) as session:
        assert session.scalars(select(age(models.OutboxEvent.available_at))).one() > -10
    assert house.row(models.Erasure, erasure_id).state == "completed"
    monkeypatch.undo()
    caretaking.hurry()
    assert caretaking.errands_done() == 1


@pytest.mark.parametrize("fails", [False, True])
def test_an_errand_that_was_tried_very_often(
    house: House, caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """After thousands of tries, as of an erasure that waited for a worker for an hour, it is still done, or put off."""
    erasure_id = house.erase(house.identity())
    with caretaking.parts.database.transaction(None) as session:
        session.execute(update(models.OutboxEvent).values(attempts=5000))
    if fails:
        monkeypatch.setattr(erasures, "plan", lambda *_: 1 / 0)
    caretaking.errands_done()
    if not fails:
        assert house.row(models.Erasure, erasure_id).state == "completed"
    else:
        with caretaking.parts.database.transaction(None) as session:
            (left,) = session.scalars(select(age(models.OutboxEvent.available_at)))
        assert -left == pytest.approx(errands._LONGEST_SECONDS, abs=20)


def test_the_round(house: House, caretaking: Caretaking) -> None:
    """The caretaker's thread does all of it by itself, and ends when told to."""
    erasure_id = house.erase(house.identity())
    stop = threading.Event()
    thread = threading.Thread(target=Caretaker(caretaking.parts, Rhythm(errands=0.01, sweep=0.01)).work, args=(stop,))
    thread.start()
    for _ in range(1000):
        if house.row(models.Erasure, erasure_id).state == "completed":
            break
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert house.row(models.Erasure, erasure_id).state == "completed"
