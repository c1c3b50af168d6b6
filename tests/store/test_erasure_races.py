"""What comes at the same moment as an erasure waits, and then sees what that has done; on SQLite nothing can."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import adapters, consents, erasures, people, withdrawals
from store.adapter_bytes import checked
from store.errors import Gone, StateConflict
from store.models import Adapter, AuditEvent, Consent, Erasure, Identity
from tests.store.archive import AGREEMENT, Archive
from tests.store.built import adapter_bytes

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def _meanwhile(
    archive: Archive, row: tuple[Any, str, str], meanwhile: Callable[[], object], deed: Callable[[Session, Any], object]
) -> None:
    """Load a row, let somebody else commit something, and do a deed with what was loaded."""
    model, tenant, row_id = row
    with archive.api.transaction(tenant) as session:
        stale = session.get_one(model, (tenant, row_id))
        meanwhile()
        deed(session, stale)


def _erase(archive: Archive, tenant: str, person: str) -> str:
    with archive.api.transaction(tenant) as session:
        return erasures.begin(session, session.get_one(Identity, (tenant, person)), "requested").id


def _brought(archive: Archive, tenant: str, person: str) -> str:
    with archive.api.transaction(tenant) as session:
        file = checked(adapter_bytes())
        return adapters.bring(session, archive.safe, session.get_one(Identity, (tenant, person)), file).id


def test_two_withdrawals_at_once_are_an_erasure(archive: Archive) -> None:
    """Of two consents that are withdrawn at once the second one knows that it is the last, and erases."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    with archive.api.transaction(tenant) as session:
        consents.record(session, session.get_one(Identity, (tenant, person)), AGREEMENT)
        first, second = session.scalars(select(Consent.id)).all()
    erased: list[Erasure | None] = []
    done = threading.Event()

    def withdraw_the_second() -> None:
        with archive.api.transaction(tenant) as session:
            erased.append(withdrawals.withdraw(session, session.get_one(Consent, (tenant, second))))
        done.set()

    other = threading.Thread(target=withdraw_the_second)
    with archive.api.transaction(tenant) as session:
        assert withdrawals.withdraw(session, session.get_one(Consent, (tenant, first))) is None
        other.start()
        assert not done.wait(0.5)
    other.join(10)
    assert erased[0] is not None
    assert archive.row(Identity, tenant, person).state == "erasing"


def test_one_consent_withdrawn_twice_at_once(archive: Archive) -> None:
    """The second of two withdrawals of one consent is refused, as it would be a moment later."""
    tenant = archive.tenant()
    archive.person(tenant)
    with archive.api.transaction(tenant) as session:
        consent = session.scalars(select(Consent.id)).one()

    def withdraw() -> None:
        with archive.api.transaction(tenant) as session:
            withdrawals.withdraw(session, session.get_one(Consent, (tenant, consent)))

    with pytest.raises(StateConflict, match="withdrawn already"):
        _meanwhile(archive, (Consent, tenant, consent), withdraw, withdrawals.withdraw)


def test_a_name_does_not_come_back(archive: Archive) -> None:
    """Who is renamed while an erasure begins stays without a name."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    with pytest.raises(StateConflict, match="being erased"):
        _meanwhile(
            archive,
            (Identity, tenant, person),
            lambda: _erase(archive, tenant, person),
            lambda session, row: people.change(session, row, "Grace Hopper", None),
        )
    assert archive.row(Identity, tenant, person).name == ""


def test_no_consent_comes_after_an_erasure(archive: Archive) -> None:
    """A consent that is recorded while an erasure begins is refused: nobody would forget its subject."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    with pytest.raises(StateConflict, match="being erased"):
        _meanwhile(
            archive,
            (Identity, tenant, person),
            lambda: _erase(archive, tenant, person),
            lambda session, row: consents.record(session, row, AGREEMENT),
        )


def test_two_requests_at_once_are_one_erasure(archive: Archive) -> None:
    """Of two requests to erase a person the second is told of the first one's erasure: there is one receipt."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    ids: list[str] = []
    _meanwhile(
        archive,
        (Identity, tenant, person),
        lambda: ids.append(_erase(archive, tenant, person)),
        lambda session, row: ids.append(erasures.begin(session, row, "requested").id),
    )
    assert len(set(ids)) == 1
    with archive.of(tenant) as session:
        assert session.scalar(select(func.count()).select_from(Erasure)) == 1


@pytest.mark.parametrize("by", ["deletion", "erasure"])
def test_no_tombstone_becomes_active(archive: Archive, by: str) -> None:
    """An adapter that goes while it is being activated stays a tombstone, and nobody is restored with it."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    adapter = _brought(archive, tenant, person)

    def delete() -> None:
        with archive.api.transaction(tenant) as session:
            adapters.remove(session, session.get_one(Adapter, (tenant, adapter)))

    goes = delete if by == "deletion" else lambda: _erase(archive, tenant, person)
    with pytest.raises(StateConflict):
        _meanwhile(archive, (Adapter, tenant, adapter), goes, adapters.activate)
    left = archive.row(Adapter, tenant, adapter)
    assert (left.active, left.state, left.blob) == (False, "deleted", None)


def test_an_adapter_is_deleted_while_it_is_activated(archive: Archive) -> None:
    """Whoever deletes an adapter that has just been made active leaves a tombstone that is not."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    adapter = _brought(archive, tenant, person)

    def activate() -> None:
        with archive.api.transaction(tenant) as session:
            adapters.activate(session, session.get_one(Adapter, (tenant, adapter)))

    _meanwhile(archive, (Adapter, tenant, adapter), activate, adapters.remove)
    assert archive.row(Adapter, tenant, adapter).active is False
    assert archive.row(Identity, tenant, person).active_adapter_id is None


def test_an_adapter_is_deleted_once(archive: Archive) -> None:
    """The second of two deletions at once finds it gone."""
    tenant = archive.tenant()
    adapter = _brought(archive, tenant, archive.person(tenant))

    def delete() -> None:
        with archive.api.transaction(tenant) as session:
            adapters.remove(session, session.get_one(Adapter, (tenant, adapter)))

    with pytest.raises(Gone, match="deleted meanwhile"):
        _meanwhile(archive, (Adapter, tenant, adapter), delete, adapters.remove)


@pytest.mark.parametrize("again", ["plan", "complete"])
def test_an_erasure_is_completed_once(archive: Archive, again: str) -> None:
    """Who goes on with an erasure that is being completed waits, and finds it complete: there is one receipt."""
    tenant = archive.tenant()
    erasure = _erase(archive, tenant, archive.person(tenant))

    def go_on() -> None:
        with archive.of(tenant) as session:
            if again == "plan":
                erasures.plan(session, tenant, erasure)
        with archive.of(tenant) as session:
            erasures.complete(session, archive.safe.vault, tenant, erasure)

    other = threading.Thread(target=go_on)
    with archive.of(tenant) as session:
        receipt = erasures.complete(session, archive.safe.vault, tenant, erasure).receipt
        other.start()
        other.join(0.3)  # as far as it comes
    other.join(20)
    assert archive.row(Erasure, tenant, erasure).state == "completed"
    assert archive.row(Erasure, tenant, erasure).receipt == receipt
    with archive.of(tenant) as session:
        told = select(func.count()).select_from(AuditEvent).where(AuditEvent.action == "identity.erased")
        assert session.scalar(told) == 1
