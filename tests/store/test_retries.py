"""Doing a job again: only what may be done anew."""

from collections.abc import Callable

import pytest

from store import erasures, ledger, references, restorations, retries
from store.errors import ConsentRequired, Gone, StateConflict
from store.models import Consent, Identity, Job, Reference, Restoration
from tests.store.archive import Archive


def _fail(archive: Archive, kind: str) -> Job:
    claim = archive.claim(kind)[0]
    with archive.of(None) as session:
        return ledger.fail(session, claim.lease, "internal", "it broke", retryable=True)


def _retry(archive: Archive, job: Job) -> Job:
    with archive.api.transaction(job.tenant_id) as session:
        return retries.retry(session, session.get_one(Job, (job.tenant_id, job.id)))


@pytest.mark.parametrize("kind", ["train", "restore"])
def test_a_failed_job_is_done_again(archive: Archive, kind: str) -> None:
    """A failed job waits again, without its error, and is claimed under a new lease; a live one is not repeated."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    make: dict[str, Callable[[], object]] = {
        "train": lambda: archive.training(tenant, person),
        "restore": lambda: archive.restoration(tenant, person),
    }
    make[kind]()
    failed = _fail(archive, kind)
    again = _retry(archive, failed)
    assert (again.state, again.error, again.finished_at) == ("queued", None, None)
    with pytest.raises(StateConflict, match="queued"):
        _retry(archive, failed)
    assert archive.claim()[0].lease.epoch == 2


def test_no_consent_no_second_time(archive: Archive) -> None:
    """A job is not repeated for a person who does not agree any more, or is being erased."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.restoration(tenant, person)
    failed = _fail(archive, "restore")
    with archive.api.transaction(tenant) as session:
        session.query(Consent).one().purposes = ["train"]
    with pytest.raises(ConsentRequired):
        _retry(archive, failed)
    archive.training(tenant, person)
    failed = _fail(archive, "train")
    with archive.api.transaction(tenant) as session:
        erasures.begin(session, session.get_one(Identity, (tenant, person)), "requested")
    with pytest.raises((StateConflict, Gone)):
        _retry(archive, failed)


def test_what_is_deleted_is_not_done_again(archive: Archive) -> None:
    """The job of a deleted restoration or photo is over for good."""
    tenant = archive.tenant()
    row = archive.restoration(tenant, archive.person(tenant))
    failed = _fail(archive, "restore")
    with archive.api.transaction(tenant) as session:
        restorations.remove(session, session.get_one(Restoration, (tenant, row.id)))
        photo = session.query(Reference).one()
        references.remove(session, photo)
        judged = session.get_one(Job, (tenant, photo.job_id))
    for job in (failed, judged):
        with pytest.raises(Gone, match="has been deleted"):
            _retry(archive, job)


def test_one_training_at_a_time_again_too(archive: Archive) -> None:
    """A failed training is not repeated beside a newer one that is on its way."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    failed = _fail(archive, "train")
    archive.training(tenant, person)
    with pytest.raises(StateConflict, match="one at a time"):
        _retry(archive, failed)
