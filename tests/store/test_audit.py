"""The audit log: a chain in which nothing can be changed, left out or added unseen."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from store import audit
from store.models import AuditEvent
from tests.store.archive import Archive


def _record(archive: Archive, tenant: str, count: int) -> None:
    for number in range(count):
        with archive.api.transaction(tenant) as session:
            audit.record(session, tenant, "key_1", "identity.created", f"idn_{number}", purposes=["train"])


def test_each_event_seals_the_one_before(archive: Archive) -> None:
    """Events are numbered, each carries the hash of the one before, and the chain is whole."""
    tenant = archive.tenant()
    _record(archive, tenant, 3)
    with archive.api.transaction(tenant) as session:
        events = session.query(AuditEvent).order_by(AuditEvent.sequence).all()
        assert [event.sequence for event in events] == [1, 2, 3]
        assert [event.previous_hash for event in events] == [audit.FIRST, events[0].hash, events[1].hash]
        assert audit.broken_link(session, tenant) is None


_FORGERIES = {
    "an action is changed": ("UPDATE audit_events SET action = 'x' WHERE sequence = 2", 2),
    "a moment is changed": ("UPDATE audit_events SET created_at = '2020-01-01 00:00:00+00' WHERE sequence = 1", 1),
    "an event is left out": ("DELETE FROM audit_events WHERE sequence = 2", 2),
    "the last event is left out": ("DELETE FROM audit_events WHERE sequence = 3", 3),
}


@pytest.mark.parametrize("forgery", _FORGERIES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_forgery_is_found(archive: Archive, forgery: str) -> None:
    """Whoever can write into the database past the service is found out by the chain."""
    tenant = archive.tenant()
    _record(archive, tenant, 3)
    statement, place = _FORGERIES[forgery]
    with archive.api.transaction(tenant) as session:
        session.execute(text(statement.replace("+00'", "'")))
    with archive.api.transaction(tenant) as session:
        assert audit.broken_link(session, tenant) == place


def test_a_chain_grows_in_one_line_under_load(archive: Archive) -> None:
    """Requests that come at once do not fork the chain."""
    tenant = archive.tenant()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _record(archive, tenant, 3), range(4)))
    with archive.api.transaction(tenant) as session:
        assert audit.broken_link(session, tenant) is None
        assert session.query(AuditEvent).count() == 12
