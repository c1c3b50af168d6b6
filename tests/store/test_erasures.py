"""Erasure: unreadable when the request is answered, gone soon after, proved by a signed receipt."""

from functools import reduce
from operator import add

import pytest
from sqlalchemy import String, cast, func, select

from store import audit, erasures, ledger, models, queries, receipts, replays, workers
from store.columns import Base
from store.errors import Gone, Shredded
from store.models import Erasure, Identity
from tests.store.archive import Archive
from tests.store.built import publish


def _begin(archive: Archive, tenant: str, person: str) -> Erasure:
    with archive.api.transaction(tenant) as session:
        return erasures.begin(session, session.get_one(Identity, (tenant, person)), "requested")


def _delete_objects(archive: Archive, plan: erasures.Plan) -> int:
    names = [stored.name for prefix in plan.prefixes for stored in archive.safe.blobs.list(prefix)]
    for name in names:
        archive.safe.drop(name)
    return len(names)


def _plan(archive: Archive, tenant: str, erasure: Erasure) -> erasures.Plan:
    with archive.of(tenant) as session:
        return erasures.plan(session, tenant, erasure.id)


def _complete(archive: Archive, tenant: str, erasure: Erasure, objects: int) -> Erasure:
    with archive.of(tenant) as session:
        erasures.count_deleted(session, tenant, erasure.id, objects)
        return erasures.complete(session, archive.safe.vault, tenant, erasure.id)


def test_erasing_from_beginning_to_receipt(archive: Archive) -> None:
    """Keys first, then objects, then the receipt, which counts everything and is genuine."""
    tenant = archive.tenant()
    person, other = archive.person(tenant, photos=2), archive.person(tenant)
    archive.training(tenant, person)
    adapter = publish(archive, archive.claim("train")[0])
    group = archive.restoration(tenant, other, person)
    archive.restore(archive.claim("restore")[0])
    alone = archive.restoration(tenant, other)
    erasure = _begin(archive, tenant, person)
    assert erasure.counts["references"] == 2
    for owner in (person, group.id):
        with pytest.raises(Shredded), archive.of(tenant) as session:
            archive.safe.key(session, tenant, owner)
    with archive.of(None) as session:
        workers.evicted(session, archive.worker_id, erasure.eviction or 0)
    plan = _plan(archive, tenant, erasure)
    assert plan.ready
    assert _delete_objects(archive, plan) == 5
    done = _complete(archive, tenant, erasure, 5)
    assert (done.state, archive.row(Identity, tenant, person).state) == ("completed", "erased")
    receipt = done.receipt or {}
    destroyed = {"references": 2, "adapters": 1, "restorations": 1, "keys": 2, "objects": 5}
    assert {name: receipt["destroyed"][name] for name in destroyed} == destroyed
    assert receipts.is_genuine(receipt)
    assert not receipts.is_genuine({**receipt, "identity_id": other})
    assert not receipts.is_genuine({**receipt, "signature": "bm9uZQ=="})
    assert not receipts.is_genuine({})
    assert archive.row(models.Adapter, tenant, adapter.id).state == "deleted"
    assert archive.row(models.Restoration, tenant, alone.id).input_blob is not None
    assert len(list(archive.safe.blobs.list(f"{tenant}/{other}/"))) == 1


def test_the_receipt_counts_every_try(archive: Archive) -> None:
    """What was deleted before an erasure was broken off is in the receipt, beside what was deleted after."""
    tenant = archive.tenant()
    erasure = _begin(archive, tenant, archive.person(tenant))
    with archive.of(tenant) as session:
        erasures.count_deleted(session, tenant, erasure.id, 3)
    receipt = _complete(archive, tenant, erasure, 2).receipt or {}
    assert receipt["destroyed"]["objects"] == 5


def test_nothing_of_the_person_is_left_in_the_rows(archive: Archive) -> None:
    """After an erasure no row holds the name, the file's name, the subject or the kept answers."""
    tenant = archive.tenant()
    person = archive.person(tenant, name="Ada Lovelace")
    with archive.api.transaction(tenant) as session:
        replays.claim(session, tenant, "key", "print")
        replays.keep(session, tenant, "key", 201, {"id": person, "name": "Ada Lovelace"}, {})
    erasure = _begin(archive, tenant, person)
    _complete(archive, tenant, erasure, 0)
    with archive.of(tenant) as session:
        for table in Base.metadata.sorted_tables:
            columns = [func.coalesce(cast(column, String), "") for column in table.c]
            text = reduce(add, columns)
            for word in ("Lovelace", "holiday.jpg", "subject-1", "clerk"):
                assert session.scalar(select(func.count()).select_from(table).where(text.contains(word))) == 0, (
                    table.name
                )


def test_a_receipt_waits_for_workers_and_jobs(archive: Archive) -> None:
    """As long as a worker runs the person's job, or has not dropped their adapter, there is no receipt."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    claim = archive.claim("train")[0]
    erasure = _begin(archive, tenant, person)
    assert not _plan(archive, tenant, erasure).ready
    with archive.of(None) as session:
        assert ledger.heartbeat(session, [claim.lease])[claim.lease.job_id] == "stop"
        ledger.canceled(session, claim.lease)
    assert not _plan(archive, tenant, erasure).ready
    with archive.of(None) as session:
        orders = workers.beat(session, archive.worker_id, "idle")
        assert [eviction.owner_id for eviction in orders.evictions] == [person]
        workers.evicted(session, archive.worker_id, orders.evictions[-1].sequence)
    assert _plan(archive, tenant, erasure).ready
    assert archive.row(Erasure, tenant, erasure.id).state == "verifying"


def test_erasing_twice_is_erasing_once(archive: Archive) -> None:
    """A second request gets the first erasure; afterwards the person is gone."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    first, second = _begin(archive, tenant, person), _begin(archive, tenant, person)
    assert first.id == second.id
    receipt = _complete(archive, tenant, first, 1).receipt
    assert _complete(archive, tenant, first, 9).receipt == receipt
    with pytest.raises(Gone), archive.api.transaction(tenant) as session:
        queries.one(session, Identity, tenant, person)
    with archive.of(tenant) as session:
        assert audit.broken_link(session, tenant) is None
        assert [event.action for event in session.scalars(select(models.AuditEvent))] == ["identity.erased"]
