"""A person's retention, set and shortened: what is there already goes by it, and asking often leaves no more to do."""

from collections import Counter

import pytest
from sqlalchemy import select, update

from store import ledger, people, retention, schedules
from store.columns import now
from store.models import AuditEvent, Identity, Job, OutboxEvent, Restoration
from tests.store.archive import Archive


def _change(archive: Archive, tenant: str, person: str, seconds: int) -> None:
    with archive.api.transaction(tenant) as session:
        people.change(session, session.get_one(Identity, (tenant, person)), None, seconds)


def _errands(archive: Archive) -> Counter[str]:
    with archive.of(None) as session:
        return Counter(session.scalars(select(OutboxEvent.kind).where(OutboxEvent.kind.in_(("expire", "retire")))))


def _tidy(archive: Archive, tenant: str) -> None:
    with archive.of(tenant) as session:
        retention.tidy_tenant(session, tenant)
        schedules.enforce(session, tenant)


def _kept_seconds(archive: Archive, tenant: str, row: Restoration) -> float:
    expires_at = archive.row(Restoration, tenant, row.id).expires_at
    return float((expires_at - archive.job(tenant, row.job_id).finished_at).total_seconds())


def test_asking_again_and_again_leaves_no_errands(archive: Archive) -> None:
    """However often a retention is set, shortened and looked at, each thing has one errand at most."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    rows = [archive.restoration(tenant, person, expires_in=10**8) for _ in range(3)]
    for _ in rows:
        archive.restore(archive.claim("restore")[0])
    for seconds in (10**8, 10**8, 10**8, 10**8 - 1, 10**8 - 2, 10**8 - 2):
        _change(archive, tenant, person, seconds)
    assert _errands(archive) == {"expire": 3, "retire": 1}
    _tidy(archive, tenant)
    assert _errands(archive) == {"expire": 3, "retire": 1}


def test_results_that_are_there_expire_by_it(archive: Archive) -> None:
    """As soon as it is shortened it is told when the results will go; one that goes earlier anyway stays as it was."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    rows = [archive.restoration(tenant, person, expires_in=seconds) for seconds in (None, 7200, 60)]
    for _ in rows:
        archive.restore(archive.claim("restore")[0])
    _change(archive, tenant, person, 600)
    assert [_kept_seconds(archive, tenant, row) for row in rows] == pytest.approx([600, 600, 60], abs=2)


def test_the_strictest_person_in_a_photo_counts(archive: Archive) -> None:
    """A photo of two goes by the shorter retention of both, and somebody else's photos stay."""
    tenant = archive.tenant()
    ada, bea, eve = (archive.person(tenant) for _ in range(3))
    group, hers = archive.restoration(tenant, ada, bea), archive.restoration(tenant, eve)
    for _ in range(2):
        archive.restore(archive.claim("restore")[0])
    _change(archive, tenant, ada, 600)
    _change(archive, tenant, bea, 7200)
    assert _kept_seconds(archive, tenant, group) == pytest.approx(600, abs=2)
    assert archive.row(Restoration, tenant, hers.id).expires_at is None


def test_what_failed_goes_by_it_too(archive: Archive) -> None:
    """The photo of a job that failed after the retention was set goes when its time is over, and not before."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    row = archive.restoration(tenant, person)
    _change(archive, tenant, person, 600)
    claim = archive.claim("restore")[0]
    with archive.of(None) as session:
        ledger.fail(session, claim.lease, "no_face", "got no face, wanted one")
    _tidy(archive, tenant)
    assert _kept_seconds(archive, tenant, row) == pytest.approx(600, abs=2)
    assert archive.row(Restoration, tenant, row.id).removed_at is None
    with archive.of(tenant) as session:
        session.execute(update(Job).values(finished_at=now(-601)))
    _tidy(archive, tenant)
    assert archive.row(Restoration, tenant, row.id).removed_at is not None


def test_who_is_over_by_it_is_erased(archive: Archive) -> None:
    """Somebody unused for longer than a retention that was shortened is erased at the next round, and it is logged."""
    tenant = archive.tenant()
    idle, busy = archive.person(tenant), archive.person(tenant)
    for person in (idle, busy):
        _change(archive, tenant, person, 86_400)
        _change(archive, tenant, person, 600)
    with archive.of(tenant) as session:
        session.execute(update(Identity).where(Identity.id == idle).values(last_active_at=now(-601)))
    _tidy(archive, tenant)
    _tidy(archive, tenant)
    assert archive.row(Identity, tenant, idle).state == "erasing"
    assert archive.row(Identity, tenant, busy).state == "ready"
    with archive.of(tenant) as session:
        assert [(event.action, event.target) for event in session.scalars(select(AuditEvent))] == [
            ("identity.erasing", idle)
        ]
