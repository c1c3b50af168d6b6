"""Rates and quotas: too much is refused, and the answer says when to come again."""

import asyncio
import threading
from pathlib import Path

import pytest

from api.errors import Refusal
from api.limits import RateLimiter
from store.doorbell import LocalDoorbell
from store.settings import load
from tests.api.hand import Hand
from tests.api.service import Tenant, png, served, serving


def test_a_key_may_ask_so_often(tmp_path: Path) -> None:
    """Each answer says how much is left; the one too many is 429 with the time to wait; another key is free."""
    with serving(tmp_path, requests_per_minute=3) as service:
        first, second = service.tenant(), service.tenant()
        answers = [first.http.get("/v1/usage") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"key";q=3;w=60, "tenant";q=12;w=60'
        assert answers[0].headers["ratelimit"].startswith('"key";r=2;t=')
        assert answers[3].json()["code"] == "rate_limited"
        assert 1 <= int(answers[3].headers["retry-after"]) <= 60
        assert second.http.get("/v1/usage").status_code == 200


def test_a_tenants_keys_share_a_budget(tmp_path: Path) -> None:
    """However many keys a tenant makes, together they ask no more often than a few; another tenant is free."""
    with serving(tmp_path, requests_per_minute=3) as service:
        tenant, other = service.tenant(), service.tenant()
        keys = [tenant, *(service.other_key(tenant, ("audit:read",)) for _ in range(5))]
        answers = [key.http.get("/v1/usage") for key in keys for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 12 + [429] * 6
        assert "of one tenant" in answers[-1].json()["detail"]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert other.http.get("/v1/usage").status_code == 200


def test_what_a_tenant_may_keep(tmp_path: Path) -> None:
    """Photos sent ahead and reference photos are refused beyond the installation's settings, and kept up to them."""
    settings = load(tmp_path).model_copy(update={"tenant_upload_bytes": 10_000, "tenant_references": 2})
    with served(settings, LocalDoorbell(threading.Event())) as service:
        tenant = service.tenant()
        sent = [tenant.http.post("/v1/uploads", files={"file": png(seed)}) for seed in range(3)]
        assert [answer.status_code for answer in sent] == [201, 429, 429]
        assert sent[-1].json()["code"] == "quota_exceeded"
        path = f"/v1/identities/{tenant.identity()}/references"
        added = [tenant.http.post(path, files=[("files", png(seed))]) for seed in range(3)]
        assert [answer.status_code for answer in added] == [202, 202, 429]
        assert added[-1].json()["code"] == "quota_exceeded"


def test_an_absent_redis_limits_each_process() -> None:
    """Without its Redis the limiter counts in the process, and refuses nobody for it."""
    limiter = RateLimiter(2, "redis://127.0.0.1:1/0")

    async def ask() -> list[str]:
        left = [(await limiter.hit("key", "tenant"))["RateLimit"] for _ in range(2)]
        with pytest.raises(Refusal):
            await limiter.hit("key", "tenant")
        await limiter.close()
        return left

    assert len(asyncio.run(ask())) == 2


def test_a_tenant_may_have_so_many(tenant: Tenant, hand: Hand) -> None:
    """Quotas of identities and of waiting jobs are 429 with their own codes."""
    limits = {"max_identities": 1, "max_queued_jobs": 1}
    assert tenant.http.patch(f"/v1/admin/tenants/{tenant.id}", json=limits).status_code == 200
    identity_id = tenant.identity()
    answer = tenant.http.post("/v1/identities", json={"name": "Eve"})
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    tenant.reference(identity_id)
    files = [("files", png(1))]
    answer = tenant.http.post(f"/v1/identities/{identity_id}/references", files=files)
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) > 0
    assert len(tenant.http.get(f"/v1/identities/{identity_id}/references").json()["data"]) == 1
    assert tenant.http.get("/v1/usage").json()["quotas"]["max_identities"] == 1
    hand.work()
