"""Who asks: a Bearer key, or the studio's session cookie; settled before a body is read."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from anyio import CapacityLimiter, fail_after, to_thread
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.errors import DATABASE_AWAY, Refusal, problem
from api.limits import RateLimiter
from store import audit, closed_sessions, keys, models
from store.database import Database, act_for

COOKIE = "idr_session"
CSRF_HEADER = "x-csrf-token"
SESSION_SECONDS = 12 * 3600
_SEEN_EVERY = timedelta(minutes=1)
_PATIENCE_SECONDS = 1.8  # with a database server that says nothing; who asks is then asked to come again
_LOOKING = CapacityLimiter(10)  # keys are not to wait behind the requests that were let in before
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_UNPRINTABLE = re.compile(r"[^!-~]")  # a path as it came may hold anything, NUL too
_LONGEST = 200
_BEARER = re.compile(r"(?i:bearer) +([!-~]{1,300})")
_NO_KEY = (
    "got no valid key; wanted `Authorization: Bearer idr_live_...` of a key that is neither expired nor revoked; "
    "make one with POST /v1/api-keys or ask your operator"
)


@dataclass(frozen=True)
class Principal:
    """A tenant's key at work."""

    tenant_id: str
    key_id: str
    scopes: frozenset[str]
    nonce: str | None = None  # of the session, where a cookie names the key

    def needs(self, *scopes: str) -> None:
        """Refuse a key that has none of these scopes."""
        if self.scopes.isdisjoint(scopes):
            wanted = " or ".join(scopes)
            detail = f"got a key without the scope {wanted}; wanted one that has it; make one with POST /v1/api-keys"
            raise Refusal("forbidden", detail, wanted=scopes)


class Sessions:
    """Signs the studio's cookie: it names a key and an end, so a revoked key ends its sessions too."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def open(self, key_id: str) -> tuple[str, int]:
        """Return the cookie's value and the second it ends at."""
        ends = int(time.time()) + SESSION_SECONDS
        text = f"{key_id}.{ends}.{secrets.token_urlsafe(12)}"
        return f"{text}.{self._sign('session', text)}", ends

    def key_id(self, cookie: str) -> str | None:
        """Return the key that a cookie stands for, if the cookie is ours and has not ended."""
        text, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", text).encode()):
            return None
        key_id, ends, _ = text.split(".")
        return key_id if int(ends) > time.time() else None

    def ends(self, cookie: str) -> int:
        """Return the second at which a valid cookie ends."""
        return int(cookie.split(".")[1])

    def nonce(self, cookie: str) -> str:
        """Return what tells the session of a valid cookie from every other one."""
        return cookie.split(".")[2]

    def csrf_token(self, cookie: str) -> str:
        """Return what an unsafe request with this cookie must carry as X-CSRF-Token."""
        return self._sign("csrf", cookie)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def note_denial(database: Database, principal: Principal, asked: str, refusal: Refusal) -> None:
    """Write into its tenant's audit log what a key was refused, in a transaction of its own."""
    with database.transaction(principal.tenant_id) as session:
        details = {"wanted": list(refusal.wanted)}
        audit.record(session, principal.tenant_id, principal.key_id, "access.denied", asked, **details)


def live_key(session: Session, key_id: str, nonce: str | None) -> models.ApiKey | None:
    """Return a key that is still good; where a session names it, only while that is open."""
    row = keys.by_id(session, key_id)
    if row is None or nonce is None:
        return row
    act_for(session, row.tenant_id)
    return None if closed_sessions.is_closed(session, row.tenant_id, nonce) else row


class KeyRing:
    """Finds live keys, before a tenant is known."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.patience_seconds = None if database.is_sqlite else _PATIENCE_SECONDS

    def by_token(self, token: str) -> Principal | None:
        """Return whom a Bearer text stands for."""
        with self.database.transaction(None, read_only=True) as session:
            row = keys.by_token(session, token)
        return self._principal(row)

    def by_session(self, nonce: str, key_id: str) -> Principal | None:
        """Return whom a key stands for that a session cookie names, unless the session was closed."""
        with self.database.transaction(None, read_only=True) as session:
            row = live_key(session, key_id, nonce)
        principal = self._principal(row)
        return None if principal is None else replace(principal, nonce=nonce)

    def _principal(self, row: models.ApiKey | None) -> Principal | None:
        if row is None:
            return None
        if row.last_used_at is None or datetime.now(UTC) - row.last_used_at > _SEEN_EVERY:
            with suppress(OperationalError):  # a busy database forgets one use, and refuses nobody for it
                self._note_use(row)
        return Principal(row.tenant_id, row.id, frozenset(row.scopes))

    def _note_use(self, row: models.ApiKey) -> None:
        with self.database.transaction(row.tenant_id) as session:
            keys.seen(session, row.tenant_id, row.id)


async def _found(look_up: Callable[[str], Principal | None], text: str) -> Principal | None:
    """Look a key up in a thread, which is left to itself when the time is over: what it waits for ends by itself."""
    return await to_thread.run_sync(look_up, text, abandon_on_cancel=True, limiter=_LOOKING)


class Authentication:
    """Let only known keys reach /v1, each at its own rate and its tenant's."""

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyRing,
        sessions: Sessions,
        limiter: RateLimiter,
    ) -> None:
        self.app = app
        self._keys = keys
        self._sessions = sessions
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1"):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            with fail_after(self._keys.patience_seconds):
                principal = await self._principal(request)
            scope["answer_headers"] = await self._limiter.hit(principal.key_id, principal.tenant_id)
            await self._check_csrf(request, principal)
        except Refusal as refusal:
            await problem(request, refusal)(scope, receive, send)
            return
        except (*DATABASE_AWAY, TimeoutError):
            away = Refusal("busy", "got a request while the database was away; wanted it back; send it again")
            await problem(request, away)(scope, receive, send)
            return
        scope["principal"] = principal
        with bound_contextvars(tenant_id=principal.tenant_id):
            await self.app(scope, receive, send)

    async def _principal(self, request: Request) -> Principal:
        given = request.headers.get("authorization")
        cookie = request.cookies.get(COOKIE)
        principal = None
        if given is not None:
            found = _BEARER.fullmatch(given)
            principal = await _found(self._keys.by_token, found.group(1)) if found else None
        elif cookie:
            key_id = self._sessions.key_id(cookie)
            look_up = partial(self._keys.by_session, self._sessions.nonce(cookie)) if key_id else None
            principal = await _found(look_up, key_id) if look_up and key_id else None
        if principal is None:
            raise Refusal("unauthenticated", _NO_KEY)
        return principal

    async def _check_csrf(self, request: Request, principal: Principal) -> None:
        """Refuse an unsafe request by cookie without the session's token, and write that into the audit log."""
        if "authorization" in request.headers or request.method in _SAFE:
            return
        token, cookie = request.headers.get(CSRF_HEADER, ""), request.cookies[COOKIE]
        if hmac.compare_digest(token.encode(), self._sessions.csrf_token(cookie).encode()):
            return
        detail = "got an unsafe request by cookie without its token; wanted X-CSRF-Token from GET /v1/session"
        refusal = Refusal("csrf_required", detail, wanted=(CSRF_HEADER,))
        asked = f"{request.method} {_UNPRINTABLE.sub('?', request.url.path)[:_LONGEST]}"
        await to_thread.run_sync(note_denial, self._keys.database, principal, asked, refusal)
        raise refusal
