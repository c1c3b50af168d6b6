"""What one tenant may ask of webhooks: so many endpoints, so many tests on their way, no errand twice."""

import pytest
from sqlalchemy import func, select, update

from store import webhooks
from store.columns import now
from store.errors import QuotaExceeded
from store.models import OutboxEvent, WebhookDelivery, WebhookEndpoint
from tests.store.archive import Archive


def _endpoint(archive: Archive, tenant: str) -> str:
    with archive.api.transaction(tenant) as session:
        return webhooks.register(session, archive.safe.vault, tenant, "https://example.org/hook")[0].id


def _test(archive: Archive, tenant: str, endpoint: str) -> str:
    with archive.api.transaction(tenant) as session:
        return webhooks.send_test(session, session.get_one(WebhookEndpoint, (tenant, endpoint))).id


def _redeliver(archive: Archive, tenant: str, delivery: str) -> int:
    """Redeliver; return how many errands there are then."""
    with archive.api.transaction(tenant) as session:
        webhooks.redeliver(session, session.get_one(WebhookDelivery, (tenant, delivery)))
    with archive.of(None) as session:
        return session.scalar(select(func.count()).select_from(OutboxEvent)) or 0


def test_endpoints_are_capped(archive: Archive) -> None:
    """One endpoint too many is refused, until another one is gone; other tenants have their own."""
    tenant = archive.tenant()
    ids = [_endpoint(archive, tenant) for _ in range(webhooks.MAX_ENDPOINTS)]
    with pytest.raises(QuotaExceeded, match=f"more than {webhooks.MAX_ENDPOINTS}"):
        _endpoint(archive, tenant)
    assert _endpoint(archive, archive.tenant("other"))
    with archive.api.transaction(tenant) as session:
        webhooks.forget(session, session.get_one(WebhookEndpoint, (tenant, ids[0])))
    assert _endpoint(archive, tenant)


def test_tests_on_their_way_are_capped(archive: Archive) -> None:
    """So many tests of one endpoint are on their way at a time; what has arrived counts no more."""
    tenant = archive.tenant()
    endpoint, other = _endpoint(archive, tenant), _endpoint(archive, tenant)
    sent = [_test(archive, tenant, endpoint) for _ in range(webhooks.MAX_TESTS)]
    with pytest.raises(QuotaExceeded, match=f"beside {webhooks.MAX_TESTS}"):
        _test(archive, tenant, endpoint)
    assert _test(archive, tenant, other)
    with archive.of(tenant) as session:
        webhooks.answered(session, tenant, sent[0], 204)
    assert _test(archive, tenant, endpoint)


def test_what_is_due_is_not_due_twice(archive: Archive) -> None:
    """Asking again for a delivery whose turn has come adds nothing; one that was put off is due now, once."""
    tenant = archive.tenant()
    delivery = _test(archive, tenant, _endpoint(archive, tenant))
    with archive.of(tenant) as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=now(-1)))
    assert [_redeliver(archive, tenant, delivery) for _ in range(3)] == [1, 1, 1]
    with archive.of(tenant) as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=now(300)))
    assert _redeliver(archive, tenant, delivery) == 2
    with archive.of(tenant) as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=now(-1)))
    assert _redeliver(archive, tenant, delivery) == 2
