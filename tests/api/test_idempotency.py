"""One Idempotency-Key, one effect: repeated, at once, after an error, and when an answer was lost."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from store import people, replays
from tests.api.hand import Hand
from tests.api.service import CONSENT, Tenant, png

KEY = {"Idempotency-Key": "order-1"}


def _people(tenant: Tenant) -> int:
    return len(tenant.http.get("/v1/identities", params={"limit": 100}).json()["data"])


def test_a_repeated_post_is_replayed(tenant: Tenant) -> None:
    """The second answer is the first one, marked; there is one effect."""
    first, second = (tenant.http.post("/v1/identities", json={"name": "Ada"}, headers=KEY) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert _people(tenant) == 1


def test_fifty_at_once_have_one_effect(tenant: Tenant) -> None:
    """Fifty parallel identical POSTs make one person, and every answer that is no refusal names that one."""

    def post(_: int) -> httpx2.Response:
        return httpx2.post(
            tenant.http.base_url.join("/v1/identities"),
            json={"name": "Ada"},
            headers={**KEY, "Authorization": f"Bearer {tenant.token}"},
            timeout=60,
        )

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    made = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in made) <= 1
    assert all(answer.json()["retryable"] for answer in refused)
    assert _people(tenant) == 1


def test_another_body_is_refused(tenant: Tenant) -> None:
    """A key that belongs to another request is 422: another body, another path, another query."""
    tenant.http.post("/v1/identities", json={"name": "Ada"}, headers=KEY)
    for path, body in (("/v1/identities", {"name": "Eve"}), ("/v1/identities?x=1", {"name": "Ada"})):
        answer = tenant.http.post(path, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert _people(tenant) == 1


def test_keys_are_the_tenants_own(tenant: Tenant, stranger: Tenant) -> None:
    """The same key of two tenants belongs to each of them."""
    ids = {
        one.http.post("/v1/identities", json={"name": "Ada"}, headers=KEY).json()["id"] for one in (tenant, stranger)
    }
    assert len(ids) == 2


def test_a_refusal_is_not_kept(tenant: Tenant) -> None:
    """A request that was refused can be sent again under its key once its cause is gone."""
    identity_id = tenant.identity(consent=False)
    path, files = f"/v1/identities/{identity_id}/references", [("files", png())]
    assert tenant.http.post(path, files=files, headers=KEY).status_code == 409
    assert tenant.http.post(f"/v1/identities/{identity_id}/consents", json=CONSENT).status_code == 201
    assert tenant.http.post(path, files=files, headers=KEY).status_code == 202


def test_a_form_is_known_by_its_parts(tenant: Tenant) -> None:
    """The same files under another boundary are the same request; another file is another one."""
    first, again, other = (
        tenant.http.post("/v1/uploads", files={"file": png(seed)}, headers=KEY) for seed in (0, 0, 1)
    )
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert other.json()["code"] == "idempotency_mismatch"


def test_a_restoration_is_started_once(tenant: Tenant, hand: Hand) -> None:
    """Two identical restorations under one key are one job; the second may wait for its end."""
    identity_id = tenant.identity()
    tenant.reference(identity_id)
    hand.work()
    sent = {"data": {"identity_id": identity_id}, "files": {"image": png(1)}, "headers": KEY}
    first = tenant.http.post("/v1/restorations", **sent)  # type: ignore[arg-type]
    hand.work()
    second = tenant.http.post("/v1/restorations", **{**sent, "headers": {**KEY, "Prefer": "wait=10"}})  # type: ignore[arg-type]
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.headers["idempotent-replayed"] == "true"
    assert (first.json()["id"], second.json()["state"]) == (second.json()["id"], "succeeded")
    assert len(tenant.http.get("/v1/restorations").json()["data"]) == 1


def test_secrets_are_not_kept(tenant: Tenant) -> None:
    """A replay of a new key shows everything but its text, which is kept nowhere."""
    body = {"name": "second", "scopes": ["identities:read"]}
    first, second = (tenant.http.post("/v1/api-keys", json=body, headers=KEY).json() for _ in range(2))
    assert first["key"].startswith("idr_live_")
    assert second == {**first, "key": None}


def test_a_twin_waits_for_the_first(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first request still runs its twin waits, and then gets the first one's answer."""
    entered, leave = threading.Event(), threading.Event()
    create = people.create

    def slowly(*given: object) -> object:
        entered.set()
        assert leave.wait(5)
        return create(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(people, "create", slowly)

    def post() -> httpx2.Response:
        return tenant.http.post("/v1/identities", json={"name": "Ada"}, headers=KEY)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(post)
        assert entered.wait(5)
        second = pool.submit(post)
        threading.Timer(0.3, leave.set).start()
        assert first.result().json() == second.result().json()
    assert second.result().headers["idempotent-replayed"] == "true"


def test_an_effect_without_an_answer_is_found_again(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server broke before its commit there is no effect; the repetition has it, once."""
    keep = replays.keep
    monkeypatch.setattr(replays, "keep", _once_broken(keep))
    first, second, third = (tenant.http.post("/v1/identities", json={"name": "Ada"}, headers=KEY) for _ in range(3))
    assert first.status_code == 500
    assert "idempotent-replayed" not in second.headers
    assert third.json() == second.json()
    assert _people(tenant) == 1


def test_a_key_of_another_shape(tenant: Tenant) -> None:
    """A key must be 1 to 200 visible letters."""
    for key in ("a b", "x" * 201):
        answer = tenant.http.post("/v1/identities", json={"name": "Ada"}, headers={"Idempotency-Key": key})
        assert answer.status_code == 422


def _once_broken(keep: Callable[..., None]) -> Callable[..., None]:
    broken = iter([True])

    def keep_or_break(*given: object) -> None:
        if next(broken, False):
            raise RuntimeError("no answer")
        keep(*given)

    return keep_or_break
