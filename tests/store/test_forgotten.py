"""What an erasure forgets besides photos: subjects, kept answers, and what somebody wrote into an adapter's label."""

from typing import Any

import pytest
from sqlalchemy import select, update

from store import adapters, erasures, replays, restorations, uploads, withdrawals
from store.adapter_bytes import checked
from store.models import Adapter, Consent, Erasure, IdempotencyKey, Identity
from tests.store.archive import Archive, picture
from tests.store.built import adapter_bytes


def _begin(archive: Archive, tenant: str, person: str) -> str:
    with archive.api.transaction(tenant) as session:
        return erasures.begin(session, session.get_one(Identity, (tenant, person)), "requested").id


def _complete(archive: Archive, tenant: str, erasure: str) -> Erasure:
    with archive.of(tenant) as session:
        return erasures.complete(session, archive.safe.vault, tenant, erasure)


def _keep(archive: Archive, tenant: str, key: str, body: Any) -> None:
    with archive.api.transaction(tenant) as session:
        replays.claim(session, tenant, key, "print")
        replays.keep(session, tenant, key, 201, body, {})


def _kept(archive: Archive, tenant: str) -> set[str]:
    with archive.of(tenant) as session:
        return set(session.scalars(select(IdempotencyKey.key)))


def _consent(archive: Archive, tenant: str) -> Consent:
    with archive.of(tenant) as session:
        return session.scalars(select(Consent)).one()


def test_who_agreed_is_forgotten_at_once(archive: Archive) -> None:
    """From the beginning of an erasure on, its consents tell neither the subject nor the witness nor the reason."""
    tenant = archive.tenant()
    archive.person(tenant)
    with archive.api.transaction(tenant) as session:
        row = session.scalars(select(Consent)).one()
        assert withdrawals.withdraw(session, row, reason="Ada wishes it") is not None
        assert (row.subject, row.attested_by) == ("", "")  # so the answer that is kept says nothing either
    row = _consent(archive, tenant)
    assert (row.subject, row.attested_by, row.withdrawal_reason) == ("", "", None)


@pytest.mark.parametrize("completed", [False, True])
def test_a_reason_does_not_come_late(archive: Archive, completed: bool) -> None:
    """Why a consent of somebody who is being erased, or was, is withdrawn is not kept."""
    tenant = archive.tenant()
    erasure = _begin(archive, tenant, archive.person(tenant))
    if completed:
        _complete(archive, tenant, erasure)
    with archive.api.transaction(tenant) as session:
        row = session.scalars(select(Consent)).one()
        assert withdrawals.withdraw(session, row, reason="Ada wishes it") is None
    assert _consent(archive, tenant).withdrawal_reason is None


def test_answers_kept_meanwhile_are_forgotten(archive: Archive) -> None:
    """What was kept of a person between the beginning and the end goes with the end; the receipt counts it."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    _keep(archive, tenant, "before", {"id": person})
    erasure = _begin(archive, tenant, person)
    assert _kept(archive, tenant) == set()
    _keep(archive, tenant, "withdrawal", {"consent": {"identity_id": person, "subject": "Ada"}})
    _keep(archive, tenant, "another's", {"id": "idn_0"})
    done = _complete(archive, tenant, erasure)
    assert _kept(archive, tenant) == {"another's"}
    assert (done.receipt or {})["destroyed"]["kept_answers"] == 2


def test_a_tombstone_has_no_name(archive: Archive) -> None:
    """Whatever an earlier release let in behind an erasure's back is gone when it is complete."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    erasure = _begin(archive, tenant, person)
    with archive.of(tenant) as session:
        session.execute(update(Identity).values(name="Ada"))
        session.execute(update(Consent).values(subject="Ada", withdrawal_reason="Ada wishes it"))
    _complete(archive, tenant, erasure)
    assert archive.row(Identity, tenant, person).name == ""
    assert (_consent(archive, tenant).subject, _consent(archive, tenant).withdrawal_reason) == ("", None)


def test_the_answer_of_a_photo_sent_ahead(archive: Archive) -> None:
    """The kept answer of an upload holds the photo's digest: it goes with the person in it, and no other does."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    names = {}
    for name in ("used", "unused"):
        with archive.api.transaction(tenant) as session:
            row = uploads.add(session, archive.safe, tenant, picture(name))
            names[name] = row.id
        _keep(archive, tenant, name, {"id": row.id, "sha256": row.sha256})
    with archive.api.transaction(tenant) as session:
        faces = [restorations.Face(session.get_one(Identity, (tenant, person)))]
        made = restorations.start(session, tenant, faces, restorations.Settings())
        restorations.keep_input(session, archive.safe, made, b"used", names["used"])
    _begin(archive, tenant, person)
    assert _kept(archive, tenant) == {"unused"}


def test_an_adapters_label_is_forgotten(archive: Archive) -> None:
    """Nothing is left of what a brought adapter said of itself, which may have been anything."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    file = checked(adapter_bytes({"bundle": "Ada's", "base_digest": "Ada's", "options": {"note": "Ada"}}))
    with archive.api.transaction(tenant) as session:
        adapter = adapters.bring(session, archive.safe, session.get_one(Identity, (tenant, person)), file).id
    _complete(archive, tenant, _begin(archive, tenant, person))
    left = archive.row(Adapter, tenant, adapter)
    assert (left.options, left.bundle, left.bundle_digest, left.metrics) == ({}, None, None, {})
