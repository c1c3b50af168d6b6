"""Idempotency-Keys: a request's key, and what it was answered, are rows of the request's own transaction."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from store.columns import now
from store.errors import TwinInFlight
from store.models import IdempotencyKey

KEPT_SECONDS = 24 * 3600.0


def claim(session: Session, tenant_id: str, key: str, fingerprint: str) -> IdempotencyKey | None:
    """Take a key and return None, or return the request that has had it; a concurrent twin is waited for."""
    old = (IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == key, IdempotencyKey.expires_at < now())
    row = IdempotencyKey(tenant_id=tenant_id, key=key, fingerprint=fingerprint, expires_at=now(KEPT_SECONDS))
    try:
        session.execute(delete(IdempotencyKey).where(*old).execution_options(synchronize_session=False))
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        return session.get_one(IdempotencyKey, (tenant_id, key), populate_existing=True)
    except OperationalError as error:
        if type(error.orig).__name__ != "LockNotAvailable":
            raise
        raise TwinInFlight("got a request whose twin still runs; wanted it over; send it again") from error
    return None


def keep(session: Session, tenant_id: str, key: str, status: int, body: Any, headers: Mapping[str, str]) -> None:
    """Keep what a request was answered, for its replays."""
    mine = (IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == key)
    values = {"status": status, "body": body, "headers": dict(headers)}
    session.execute(update(IdempotencyKey).where(*mine).values(**values).execution_options(synchronize_session=False))


def forget_old(session: Session, tenant_id: str) -> None:
    """Forget the keys whose day is over."""
    old = (IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.expires_at < now())
    session.execute(delete(IdempotencyKey).where(*old).execution_options(synchronize_session=False))
