"""Identities: their state follows from their photos, jobs and adapters."""

import pytest

from store import ledger, people
from store.errors import InvalidRequest
from store.models import Adapter, Identity
from tests.store.archive import Archive
from tests.store.built import publish


def test_the_state_follows_what_there_is(archive: Archive) -> None:
    """A person is draft, ready, training, ready again after a failure, and personalized, without anybody saying so."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        assert people.create(session, tenant, "Ada").state == "draft"
    person = archive.person(tenant)

    def state() -> str:
        return str(archive.row(Identity, tenant, person).state)

    assert state() == "ready"
    archive.training(tenant, person)
    assert state() == "training"
    claim = archive.claim("train")[0]
    assert state() == "training"
    with archive.of(None) as session:
        ledger.fail(session, claim.lease, "not_finite", "got a loss that is no number")
    assert state() == "ready"
    archive.training(tenant, person)
    publish(archive, archive.claim("train")[0])
    assert state() == "personalized"


def test_an_adapter_is_what_became_of_it(archive: Archive) -> None:
    """An adapter is building, then active; the one before it is superseded; one of a failed training is none."""
    tenant = archive.tenant()
    person = archive.person(tenant)

    def states() -> list[str]:
        with archive.api.transaction(tenant) as session:
            rows = session.query(Adapter).order_by(Adapter.id)
            return [row.state for row in rows]

    archive.training(tenant, person)
    assert states() == ["building"]
    publish(archive, archive.claim("train")[0])
    assert states() == ["active"]
    archive.training(tenant, person, activate=False)
    publish(archive, archive.claim("train")[0])
    assert states() == ["active", "ready"]
    archive.training(tenant, person)
    publish(archive, archive.claim("train")[0])
    assert states() == ["superseded", "ready", "active"]
    archive.training(tenant, person)
    claim = archive.claim("train")[0]
    with archive.of(None) as session:
        ledger.fail(session, claim.lease, "broken", "it broke")
    assert states() == ["superseded", "ready", "active", "deleted"]


def test_a_retention_only_gets_shorter(archive: Archive) -> None:
    """A name can be changed; a retention can be set and shortened, never lengthened."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        row = people.create(session, tenant, "Ada")
        people.change(session, row, "Ada Lovelace", 3600)
        people.change(session, row, None, 60)
        assert (row.name, row.retention_seconds) == ("Ada Lovelace", 60)
        with pytest.raises(InvalidRequest, match="at most the 60 s"):
            people.change(session, row, None, 61)
