"""A schedule that is enforced while somebody deletes: nobody waits in a circle; on SQLite nobody comes in between."""

import threading
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from store import adapters, audit, schedules
from store.adapter_bytes import checked
from store.columns import now
from store.models import Adapter, Identity, Job, Restoration
from tests.store.archive import Archive
from tests.store.built import adapter_bytes

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def _brought(archive: Archive, tenant: str, person: str) -> str:
    with archive.api.transaction(tenant) as session:
        identity = session.get_one(Identity, (tenant, person))
        return adapters.bring(session, archive.safe, identity, checked(adapter_bytes())).id


def _grow_old(archive: Archive, tenant: str, adapter: str) -> None:
    """Let the tenant's results, and one adapter, be over by its schedule."""
    with archive.of(tenant) as session:
        session.execute(update(Job).where(Job.kind == "restore").values(finished_at=now(-9e5)))
        session.execute(update(Restoration).values(created_at=now(-9e5)))
        session.execute(update(Adapter).where(Adapter.id == adapter).values(created_at=now(-9e5)))


def test_a_deletion_beside_the_schedule(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who deletes an adapter evicts, then records; the schedule too, whatever it has deleted before."""
    tenant = archive.tenant(restorations_days=1, unused_adapters_days=1)
    person = archive.person(tenant)
    archive.restoration(tenant, person)
    archive.restore(archive.claim("restore")[0])
    old, new = _brought(archive, tenant, person), _brought(archive, tenant, person)
    _grow_old(archive, tenant, old)
    real, recorded, evicted, enforced = audit.record, threading.Event(), threading.Event(), []

    def record(session: Session, tenant_id: str, actor: str, *rest: Any, **details: Any) -> Any:
        row = real(session, tenant_id, actor, *rest, **details)
        if actor == "housekeeping" and not recorded.is_set():
            recorded.set()
            evicted.wait(0.5)  # the other one gets as far as it can
        return row

    monkeypatch.setattr(audit, "record", record)

    def enforce() -> None:
        with archive.of(tenant) as session:
            enforced.append(schedules.enforce(session, tenant))

    other = threading.Thread(target=enforce)
    other.start()
    assert recorded.wait(10)
    with archive.api.transaction(tenant) as session:
        adapters.remove(session, session.get_one(Adapter, (tenant, new)))
        evicted.set()
        audit.record(session, tenant, "key", "adapter.deleted", new)
    other.join(20)
    assert enforced == [2]
    assert archive.row(Adapter, tenant, new).state == "deleted"
