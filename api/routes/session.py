"""The studio's session: a key is exchanged for a cookie that scripts cannot read."""

from datetime import UTC, datetime

from fastapi import Request, Response

from api.auth import COOKIE, SESSION_SECONDS
from api.dependencies import Tx
from api.errors import Refusal
from api.idempotency import answered
from api.routes.routing import router
from api.schemas.accounts import Session
from store import closed_sessions

routes = router("session")


@routes.post("/session", status_code=201, response_model=Session)
def open_session(work: Tx) -> Response:
    """Open a session for the key this request carries."""
    if "authorization" not in work.request.headers:  # a cookie that renews itself would never end
        detail = "got a request by session cookie; wanted one by key; send `Authorization: Bearer idr_live_...`"
        raise Refusal("state_conflict", detail)
    cookie, _ = work.parts.sessions.open(work.principal.key_id)
    work.audit("session.opened", work.parts.sessions.nonce(cookie))
    response = answered(201, _shown(work.request, cookie)).response()
    secure = work.request.url.scheme == "https"
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
def close_session(work: Tx, response: Response) -> None:
    """Close the session of this cookie: it is worth nothing any more, wherever else it is kept."""
    cookie, sessions = work.request.cookies.get(COOKIE, ""), work.parts.sessions
    if sessions.key_id(cookie) == work.principal.key_id:
        ends_at = datetime.fromtimestamp(sessions.ends(cookie), UTC)
        closed_sessions.close(work.session, work.tenant_id, sessions.nonce(cookie), ends_at)
        work.audit("session.closed", sessions.nonce(cookie))
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
