"""The studio's sessions that were closed: a cookie is signed, so whether it has been given up is known here alone."""

from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from store.columns import now
from store.models import ClosedSession


def close(session: Session, tenant_id: str, nonce: str, ends_at: datetime) -> None:
    """Let a session be worth nothing from now on; closing it twice is fine."""
    try:
        with session.begin_nested():
            session.add(ClosedSession(tenant_id=tenant_id, nonce=nonce, ends_at=ends_at))
            session.flush()
    except IntegrityError:
        return


def is_closed(session: Session, tenant_id: str, nonce: str) -> bool:
    """Whether a session was closed."""
    mine = (ClosedSession.tenant_id == tenant_id, ClosedSession.nonce == nonce)
    return bool(session.scalar(select(exists().where(*mine))))


def forget_ended(session: Session, tenant_id: str) -> None:
    """Forget those whose cookies have ended by themselves."""
    ended = (ClosedSession.tenant_id == tenant_id, ClosedSession.ends_at < now())
    session.execute(delete(ClosedSession).where(*ended).execution_options(synchronize_session=False))
