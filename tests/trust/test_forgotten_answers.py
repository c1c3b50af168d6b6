"""Withdrawal under an Idempotency-Key: what is kept for its replays tells nothing of whom the erasure is to forget."""

from collections.abc import Iterator

import pytest
from sqlalchemy import String, cast, func, select

from store import erasures, models
from tests.api.service import CONSENT, Service, Tenant, serving

SUBJECT, CLERK, REASON = "Grace Hopper 1906", "Dr Secret", "Grace wishes it"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def _traces(service: Service, tenant: Tenant) -> int:
    """Return in how many kept answers and consents a word of the person's is left."""
    texts = (
        select(cast(models.IdempotencyKey.body, String).label("text")),
        select((models.Consent.subject + models.Consent.attested_by).label("text")),
        select(func.coalesce(models.Consent.withdrawal_reason, "").label("text")),
    )
    with service.parts.database.transaction(tenant.id) as session:
        found = [text or "" for query in texts for text in session.scalars(query)]
    return sum(any(word in text for word in (SUBJECT, CLERK, REASON)) for text in found)


def test_a_withdrawal_keeps_no_name(service: Service) -> None:
    """Before it there are traces, from its answer on none; its replay says no more, and goes with the erasure."""
    tenant = service.tenant()
    identity_id = tenant.identity(consent=False)
    agreed = {**CONSENT, "subject": SUBJECT, "attested_by": CLERK}
    path = f"/v1/identities/{identity_id}/consents"
    made = tenant.http.post(path, json=agreed, headers={"Idempotency-Key": "agreed"}).json()
    assert _traces(service, tenant) == 2
    sent = {"json": {"reason": REASON}, "headers": {"Idempotency-Key": "withdrawn"}}
    withdrawal = f"/v1/consents/{made['id']}/withdraw"
    first, replay = (tenant.http.post(withdrawal, **sent) for _ in range(2))  # type: ignore[arg-type]
    assert replay.headers["idempotent-replayed"] == "true"
    assert first.json() == replay.json()
    assert _traces(service, tenant) == 0
    assert SUBJECT not in tenant.http.get(path).text
    erasure_id = first.json()["erasure_id"]
    with service.ledger.transaction(tenant.id) as session:
        erasures.complete(session, service.parts.safe.vault, tenant.id, erasure_id)
        assert session.scalar(select(func.count()).select_from(models.IdempotencyKey)) == 0
    assert tenant.http.post(withdrawal, **sent).json()["code"] == "state_conflict"  # type: ignore[arg-type]
    assert _traces(service, tenant) == 0
