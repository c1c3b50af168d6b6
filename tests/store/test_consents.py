"""Consent: without a live record nothing is kept and nothing starts."""

import hashlib
from dataclasses import replace

import pytest
from sqlalchemy import update

from store import consents, models, operators, people, references, withdrawals
from store.columns import now
from store.errors import ConsentRequired, QuotaExceeded, StateConflict
from store.models import Consent, Erasure, Identity
from tests.store.archive import AGREEMENT, Archive, picture


def _with(archive: Archive, *purposes: str) -> tuple[str, str, str]:
    """Make a person who agrees to some purposes; return tenant, person and consent."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        person = people.create(session, tenant, "Ada")
        row = consents.record(session, person, replace(AGREEMENT, purposes=purposes))
        return tenant, person.id, row.id


def _withdraw(archive: Archive, tenant: str, consent: str, *purposes: str) -> Erasure | None:
    with archive.api.transaction(tenant) as session:
        row = session.get_one(Consent, {"tenant_id": tenant, "id": consent})
        return withdrawals.withdraw(session, row, purposes or None, "changed my mind")


def test_a_record_keeps_the_texts_hash(archive: Archive) -> None:
    """Who agreed to what is kept; of the text only its hash."""
    tenant, _, consent = _with(archive, "train", "restore", "train")
    row = archive.row(Consent, tenant, consent)
    assert row.purposes == ["restore", "train"]
    assert row.text_sha256 == hashlib.sha256(b"I agree.").hexdigest()
    assert row.expires_at is None


def test_nothing_is_kept_without_consent(archive: Archive) -> None:
    """No photo is taken, no training and no restoration starts for a person who did not agree to it."""
    tenant, person, _ = _with(archive, "evaluate")
    with pytest.raises(ConsentRequired, match="POST /v1/identities"), archive.api.transaction(tenant) as session:
        references.add(session, archive.safe, session.get_one(Identity, (tenant, person)), picture())
    with pytest.raises(ConsentRequired, match="train"):
        archive.training(tenant, person)
    with pytest.raises(ConsentRequired, match="restore"):
        archive.restoration(tenant, person)
    assert list(archive.safe.blobs.list("")) == []


def test_an_expired_consent_is_none(archive: Archive) -> None:
    """A consent lasts as long as it was given for; then the person is suspended until there is another."""
    tenant, person, consent = _with(archive, "train")
    with archive.api.transaction(tenant) as session:
        session.execute(update(Consent).values(expires_at=now(-1)))
    assert archive.row(Identity, tenant, person).state == "suspended"
    with pytest.raises(ConsentRequired):
        archive.training(tenant, person)
    with archive.api.transaction(tenant) as session:
        consents.record(session, session.get_one(Identity, (tenant, person)), AGREEMENT)
    assert archive.row(Identity, tenant, person).state == "draft"


@pytest.mark.parametrize("purpose", ["train", "restore"])
def test_withdrawing_what_is_needed_erases(archive: Archive, purpose: str) -> None:
    """Without train or restore a person's things are erased."""
    tenant, person, consent = _with(archive, "train", "restore", "evaluate")
    erasure = _withdraw(archive, tenant, consent, purpose)
    assert erasure is not None
    assert (erasure.identity_id, erasure.reason) == (person, "consent_withdrawn")
    assert archive.row(Identity, tenant, person).state == "erasing"


def test_withdrawing_evaluate_ends_that_use_only(archive: Archive) -> None:
    """Evaluation can be given up without losing anything."""
    tenant, person, consent = _with(archive, "train", "restore", "evaluate")
    assert _withdraw(archive, tenant, consent, "evaluate") is None
    row = archive.row(Consent, tenant, consent)
    assert (row.purposes, row.withdrawn_at) == (["restore", "train"], None)
    assert archive.row(Identity, tenant, person).erasing_at is None


def test_another_consent_still_holds(archive: Archive) -> None:
    """A purpose that another live consent covers is not lost by a withdrawal."""
    tenant, person, consent = _with(archive, "train", "restore")
    with archive.api.transaction(tenant) as session:
        consents.record(session, session.get_one(Identity, (tenant, person)), AGREEMENT)
    assert _withdraw(archive, tenant, consent) is None


def test_a_consent_is_withdrawn_once(archive: Archive) -> None:
    """What is withdrawn, or was never agreed to, cannot be withdrawn."""
    tenant, _, consent = _with(archive, "evaluate")
    with pytest.raises(StateConflict, match="does not hold"):
        _withdraw(archive, tenant, consent, "train")
    _withdraw(archive, tenant, consent)
    with pytest.raises(StateConflict, match="already"):
        _withdraw(archive, tenant, consent)


def test_withdrawing_stops_running_jobs(archive: Archive) -> None:
    """The worker of a running training is told to stop, a waiting restoration is canceled."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    running = archive.training(tenant, person)
    archive.claim("train")
    waiting = archive.restoration(tenant, person).job_id
    with archive.api.transaction(tenant) as session:
        consent = session.query(Consent).one()
        withdrawals.withdraw(session, consent)
    assert archive.job(tenant, running).state == "canceling"
    assert archive.job(tenant, waiting).state == "canceled"


def test_a_person_on_hold_is_left_alone(archive: Archive) -> None:
    """Nothing of a person whom an operator holds is processed until they are free."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    with archive.api.transaction(None) as session:
        operators.hold(session, tenant, person, True)
    assert archive.row(Identity, tenant, person).state == "suspended"
    with pytest.raises(StateConflict, match="on hold"):
        archive.training(tenant, person)
    with archive.api.transaction(None) as session:
        operators.hold(session, tenant, person, False)
    archive.training(tenant, person)


def test_a_tenant_has_so_many_people(archive: Archive) -> None:
    """The quota of identities is kept; erased ones do not count."""
    tenant = archive.tenant(max_identities=1)
    person = archive.person(tenant)
    with pytest.raises(QuotaExceeded, match="more than 1"):
        archive.person(tenant)
    with archive.api.transaction(tenant) as session:
        session.execute(update(models.Identity).where(models.Identity.id == person).values(erased_at=now()))
    archive.person(tenant)
