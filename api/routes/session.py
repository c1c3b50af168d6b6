"""The studio's session: a key is exchanged for a cookie that scripts cannot read."""

from datetime import UTC, datetime

from fastapi import Request, Response

from api.auth import COOKIE, SESSION_SECONDS
from api.dependencies import Key, PartsOf
from api.errors import Refusal
from api.idempotency import answered
from api.routes.routing import router
from api.schemas.accounts import Session

routes = router("session")


@routes.post("/session", status_code=201, response_model=Session)
def open_session(request: Request, parts: PartsOf, key: Key) -> Response:
    """Open a session for the key this request carries."""
    cookie, _ = parts.sessions.open(key.key_id)
    response = answered(201, _shown(request, cookie)).response()
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, cookie, max_age=SESSION_SECONDS, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return response


@routes.get("/session", response_model=Session)
def get_session(request: Request) -> Session:
    """Return the session of this cookie, with the token that unsafe requests must carry."""
    cookie = request.cookies.get(COOKIE)
    if cookie is None or "authorization" in request.headers:
        detail = "got a request by key; wanted one by session cookie; open a session with POST /v1/session"
        raise Refusal("state_conflict", detail)
    return _shown(request, cookie)


@routes.delete("/session", status_code=204)
def close_session(response: Response) -> None:
    """Drop the cookie."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _shown(request: Request, cookie: str) -> Session:
    sessions = request.app.state.parts.sessions
    principal = request.scope["principal"]
    return Session(
        tenant_id=principal.tenant_id,
        key_id=principal.key_id,
        scopes=sorted(principal.scopes),
        csrf_token=sessions.csrf_token(cookie),
        expires_at=datetime.fromtimestamp(sessions.ends(cookie), UTC),
    )
