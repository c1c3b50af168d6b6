"""The studio's session: a cookie that scripts cannot read, and a header that other sites cannot send."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from api.auth import SESSION_SECONDS, KeyRing, Sessions
from store import closed_sessions
from store.database import Database
from tests.api.service import Service, Tenant


@pytest.fixture
def opened(service: Service, tenant: Tenant) -> Iterator[tuple[httpx2.Client, str]]:
    """A client that has only the cookie, and the session's CSRF token."""
    answer = tenant.http.post("/v1/session")
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_SECONDS}"))
    with httpx2.Client(base_url=service.url, cookies=answer.cookies) as client:
        yield client, answer.json()["csrf_token"]


def test_the_cookie_reads(opened: tuple[httpx2.Client, str]) -> None:
    """The cookie alone may read, and may ask for its token again."""
    client, token = opened
    assert client.get("/v1/identities").status_code == 200
    assert client.get("/v1/session").json()["csrf_token"] == token


def test_the_cookie_writes_with_its_token_only(opened: tuple[httpx2.Client, str]) -> None:
    """An unsafe request needs the session's own token beside the cookie."""
    client, token = opened
    for given in (None, "wrong", token[:-1], token + "x"):
        headers = {"X-CSRF-Token": given} if given else {}
        answer = client.post("/v1/identities", json={"name": "Ada"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_required")
    answer = client.post("/v1/identities", json={"name": "Ada"}, headers={"X-CSRF-Token": token})
    assert answer.status_code == 201


def test_another_sessions_token_is_of_no_use(
    service: Service, tenant: Tenant, opened: tuple[httpx2.Client, str]
) -> None:
    """A token belongs to the one cookie it was made for."""
    other = tenant.http.post("/v1/session").json()["csrf_token"]
    client, token = opened
    assert other != token
    assert client.post("/v1/identities", json={"name": "A"}, headers={"X-CSRF-Token": other}).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c.d", "key_0.9999999999.x.0", "..", "\u00e9"])
def test_a_cookie_that_is_not_ours(service: Service, cookie: str) -> None:
    """A forged or broken cookie is no key."""
    with service.client(None) as client:
        answer = client.get("/v1/identities", headers={b"Cookie": f"idr_session={cookie}".encode()})
        assert answer.status_code == 401


def test_a_revoked_key_ends_its_sessions(service: Service, tenant: Tenant, opened: tuple[httpx2.Client, str]) -> None:
    """When the key is revoked its cookies are worth nothing."""
    client, _ = opened
    assert tenant.http.delete(f"/v1/api-keys/{tenant.key_id}").status_code == 204
    assert client.get("/v1/identities").status_code == 401


def test_a_session_is_closed(service: Service, opened: tuple[httpx2.Client, str]) -> None:
    """Closing takes the cookie away, and the cookie is worth nothing any more for whoever has kept it."""
    client, token = opened
    kept = dict(client.cookies)
    answer = client.delete("/v1/session", headers={"X-CSRF-Token": token})
    assert answer.status_code == 204
    assert client.get("/v1/identities").status_code == 401
    with httpx2.Client(base_url=service.url, cookies=kept) as other:
        assert other.get("/v1/identities").status_code == 401
        assert other.post("/v1/identities", json={"name": "A"}, headers={"X-CSRF-Token": token}).status_code == 401


def test_a_session_is_closed_everywhere(service: Service, tenant: Tenant, opened: tuple[httpx2.Client, str]) -> None:
    """Another API process knows of it too; the key's other sessions go on, and closing by key closes none."""
    client, token = opened
    sessions, (cookie,) = service.parts.sessions, client.cookies.values()
    with closing(Database(service.settings.database_url, role="api")) as database:
        ring = KeyRing(database)
        assert ring.by_session(sessions.nonce(cookie), tenant.key_id) is not None
        with service.client(tenant.token) as by_key:
            assert by_key.delete("/v1/session").status_code == 204
        assert client.get("/v1/identities").status_code == 200
        client.delete("/v1/session", headers={"X-CSRF-Token": token})
        assert ring.by_session(sessions.nonce(cookie), tenant.key_id) is None
        assert ring.by_session("another", tenant.key_id) is not None


def test_a_session_does_not_renew_itself(opened: tuple[httpx2.Client, str]) -> None:
    """A session is opened by a key only: a cookie would otherwise live for as long as somebody asks."""
    client, token = opened
    answer = client.post("/v1/session", headers={"X-CSRF-Token": token})
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
    assert "set-cookie" not in answer.headers


def test_closed_sessions_are_forgotten_when_they_would_have_ended(service: Service, tenant: Tenant) -> None:
    """What a closed cookie needs to be refused is kept until the cookie itself would be over, and no longer."""
    moments = {"over": datetime.now(UTC) - timedelta(seconds=1), "not yet": datetime.now(UTC) + timedelta(hours=1)}
    with service.parts.database.transaction(tenant.id) as session:
        for nonce, ends_at in (*moments.items(), ("over", moments["over"])):
            closed_sessions.close(session, tenant.id, nonce, ends_at)
    with service.ledger.transaction(tenant.id) as session:
        closed_sessions.forget_ended(session, tenant.id)
        assert [closed_sessions.is_closed(session, tenant.id, nonce) for nonce in moments] == [False, True]


def test_a_session_ends_by_itself() -> None:
    """A cookie names the second it ends at, and its signature covers that."""
    sessions = Sessions(b"s" * 32)
    cookie, ends = sessions.open("key_1")
    assert sessions.key_id(cookie) == "key_1"
    later = cookie.replace(str(ends), str(ends + 1))
    assert sessions.key_id(later) is None
    assert Sessions(b"t" * 32).key_id(cookie) is None
