"""Quotas: what a tenant may have, and that those who ask at the same moment do not get it twice."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from store import keys, ledger, operators, quotas, references, retries, uploads, webhooks
from store import people as identities
from store.columns import now
from store.errors import QueueFull, QuotaExceeded, StateConflict, StoreError
from store.models import ApiKey, Identity, Job, Reference, Upload, WebhookEndpoint
from store.quotas import Stored
from tests.store.archive import Archive, picture


def _refused(*deeds: Callable[[], object]) -> int:
    """Do deeds at the same time; return how many were refused."""

    def is_refused(deed: Callable[[], object]) -> bool:
        try:
            deed()
        except StoreError:
            return True
        return False

    with ThreadPoolExecutor(len(deeds)) as pool:
        return sum(pool.map(is_refused, deeds))


def _key(archive: Archive, tenant: str, expires_in: float | None = None) -> ApiKey:
    with archive.api.transaction(tenant) as session:
        return keys.create(session, tenant, "phone", ["identities:read"], expires_in)[0]


def test_keys_are_capped(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many keys of a tenant work; those that are revoked or have expired count no more, nor those of others."""
    monkeypatch.setattr(keys, "MAX_KEYS", 3)
    tenant = archive.tenant()
    one, other = _key(archive, tenant), _key(archive, tenant)
    with pytest.raises(QuotaExceeded, match="more than 3"):
        _key(archive, tenant)
    with pytest.raises(QuotaExceeded), archive.api.transaction(tenant) as session:
        keys.rotate(session, session.get_one(ApiKey, (tenant, one.id)), 60)
    with archive.api.transaction(tenant) as session:
        keys.rotate(session, session.get_one(ApiKey, (tenant, one.id)), 0)
        keys.revoke(session, session.get_one(ApiKey, (tenant, other.id)))
    assert _key(archive, tenant)
    assert _key(archive, archive.tenant("other"))
    with archive.api.transaction(tenant) as session:
        session.execute(update(ApiKey).values(expires_at=now(-1)))
    assert _key(archive, tenant)


def test_a_retry_waits_like_any_other_job(archive: Archive) -> None:
    """A job is not queued again where as many wait as may; one that is not over is refused for that."""
    tenant = archive.tenant(max_queued_jobs=1)
    person = archive.person(tenant)
    archive.restoration(tenant, person)
    lease = archive.claim("restore")[0].lease
    with archive.of(None) as session:
        failed = ledger.fail(session, lease, "internal", "it broke", retryable=True)
    archive.restoration(tenant, person)

    def again(job_id: str) -> None:
        with archive.api.transaction(tenant) as session:
            retries.retry(session, session.get_one(Job, (tenant, job_id)))

    with pytest.raises(QueueFull, match="at most 1"):
        again(failed.id)
    assert archive.job(tenant, failed.id).state == "failed"
    with archive.of(None) as session:
        waiting = session.scalars(select(Job.id).where(Job.state == "queued")).one()
    with pytest.raises(StateConflict):
        again(waiting)


def test_uploads_are_capped_by_their_bytes(archive: Archive) -> None:
    """Photos sent ahead fit until the sum is reached, and again when one of them is gone."""
    tenant, photo = archive.tenant(), picture("12345")
    stored = Stored(upload_bytes=12, references=0)

    def send() -> str:
        with archive.api.transaction(tenant) as session:
            quotas.require_upload(session, tenant, stored, photo)
            return uploads.add(session, archive.safe, tenant, photo).id

    first, _ = send(), send()
    with pytest.raises(QuotaExceeded, match="more than 12 bytes"):
        send()
    with archive.api.transaction(tenant) as session:
        uploads.remove(session, session.get_one(Upload, (tenant, first)))
    assert send()


def test_references_are_capped_by_their_number(archive: Archive) -> None:
    """So many reference photos a tenant may keep, whoever they are of; deleted ones count no more."""
    tenant = archive.tenant()
    archive.person(tenant, photos=2)
    stored = Stored(upload_bytes=0, references=3)
    with archive.api.transaction(tenant) as session:
        quotas.require_references(session, tenant, stored, 1)
        with pytest.raises(QuotaExceeded, match="more than 3"):
            quotas.require_references(session, tenant, stored, 2)
        references.remove(session, session.scalars(select(Reference)).all()[0])
        quotas.require_references(session, tenant, stored, 2)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_counts_at_the_same_moment(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight requests at once for the last place, seven are refused: of jobs, of endpoints, of keys, of people."""
    monkeypatch.setattr(keys, "MAX_KEYS", 2)
    monkeypatch.setattr(webhooks, "MAX_ENDPOINTS", 1)
    tenant = archive.tenant(max_queued_jobs=1)
    people = [archive.person(tenant) for _ in range(8)]
    together = threading.Barrier(8)

    def endpoint() -> None:
        with archive.api.transaction(tenant) as session:
            together.wait(10)
            webhooks.register(session, archive.safe.vault, tenant, "https://example.org/hook")

    def key() -> None:
        together.wait(10)
        _key(archive, tenant)

    def job(person: str) -> None:
        together.wait(10)
        archive.restoration(tenant, person)

    def anybody() -> None:
        with archive.api.transaction(tenant) as session:
            together.wait(10)
            identities.create(session, tenant, "Ada")

    assert _refused(*[lambda person=person: job(person) for person in people]) == 7
    assert _refused(*[endpoint] * 8) == 7
    assert _refused(*[key] * 8) == 7
    with archive.api.transaction(tenant) as session:
        assert session.scalar(select(func.count()).select_from(WebhookEndpoint)) == 1
        assert session.scalar(select(func.count()).where(Job.state == "queued", Job.kind == "restore")) == 1
        assert session.scalar(select(func.count()).select_from(Identity)) == 8
    with archive.api.transaction(None) as session:
        operators.change(session, tenant, max_identities=9)
    assert _refused(*[anybody] * 8) == 7


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_far_from_the_limit_nobody_waits(archive: Archive) -> None:
    """A tenant with room for all who could come at once is not made to queue up for a lock."""
    tenant = archive.tenant(max_queued_jobs=1000)
    one, other = archive.person(tenant), archive.person(tenant)
    with archive.api.transaction(tenant) as session:
        ledger.enqueue(session, Job(tenant_id=tenant, kind="train", identity_id=one))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(archive.training, tenant, other).result(3)
