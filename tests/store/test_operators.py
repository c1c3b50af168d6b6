"""What operators see and do, over all tenants."""

import pytest
from sqlalchemy import text

from store import keys, operators, queries
from store.errors import NotFound
from tests.store.archive import Archive


def test_a_tenant_comes_with_a_key(archive: Archive) -> None:
    """A new tenant has a first key that may do everything of its own, and no operator's thing unless that is wished."""
    with archive.api.transaction(None) as session:
        row, key, token = operators.create_tenant(session, "studio", 2.0)
        assert (row.name, row.share.weight, row.share.suspended) == ("studio", 2.0, False)
        assert operators.OPERATOR_SCOPE not in key.scopes
        _, boss, _ = operators.create_tenant(session, "house", operator=True)
        assert operators.OPERATOR_SCOPE in boss.scopes
    with archive.api.transaction(None) as session:
        found = keys.by_token(session, token)
        assert found is not None
        assert found.tenant_id == row.id
    with archive.api.transaction(row.id) as session:
        assert queries.quotas(session, row.id)["max_queued_jobs"] == operators.MAX_QUEUED_JOBS


def test_tenants_are_listed_and_changed(archive: Archive) -> None:
    """Tenants come in pages, newest first; name, share and quotas can be changed."""
    ids = [archive.tenant(f"tenant {n}") for n in range(3)]
    with archive.api.transaction(ids[0]) as session:
        assert [row.id for row in operators.tenants(session, 1)] == ids[:0:-1]
        assert [row.id for row in operators.tenants(session, 5, ids[1])] == [ids[0]]
        operators.change(session, ids[1], name="other", weight=4.0, max_running_jobs=3)
    with archive.api.transaction(None) as session:
        row = operators.tenant(session, ids[1])
        assert (row.name, row.share.weight, row.share.max_running_jobs) == ("other", 4.0, 3)
        with pytest.raises(NotFound, match="list of tenants"):
            operators.tenant(session, "ten_none")


def test_a_lost_key_is_replaced(archive: Archive) -> None:
    """An operator can make a key for a tenant that lost its own, and for no tenant that is not there."""
    tenant = archive.tenant()
    with archive.api.transaction(None) as session:
        row, token = operators.create_key(session, tenant, "spare", ["identities:read"])
        found = keys.by_token(session, token)
        assert found is not None
        assert (found.id, found.tenant_id) == (row.id, tenant)
        with pytest.raises(NotFound):
            operators.create_key(session, "ten_none", "spare", [])


def test_queues_are_counted_over_all_tenants(archive: Archive) -> None:
    """For each lane: how many wait, how many run, and how long the first has waited."""
    for name in ("one", "two"):
        tenant = archive.tenant(name)
        archive.training(tenant, archive.person(tenant))
    archive.claim("train")
    with archive.api.transaction(None) as session:
        lanes = {lane["kind"]: lane for lane in operators.queues(session)}
    assert [(lane, lanes[lane]["queued"], lanes[lane]["running"]) for lane in lanes] == [
        ("assess", 0, 0),
        ("restore", 0, 0),
        ("train", 1, 1),
    ]
    assert lanes["assess"]["oldest_age_seconds"] is None
    assert 0 <= lanes["train"]["oldest_age_seconds"] < 60


def test_a_worker_is_drained(archive: Archive) -> None:
    """A worker that is to drain is told so; an unknown one is not found."""
    archive.claim()
    with archive.api.transaction(None) as session:
        assert operators.drain(session, archive.worker_id).draining
        assert [row.id for row in operators.workers(session)] == [archive.worker_id]
        with pytest.raises(NotFound, match="no worker"):
            operators.drain(session, "wrk_none")
        if not archive.api.is_sqlite:
            assert session.scalar(text("SELECT current_user")) == "idprefer_api"
