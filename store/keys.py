"""API keys: random, so that a hash of the secret is enough to know one again, and to tell nobody else."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import Executable, and_, bindparam, func, or_, select, text, update
from sqlalchemy.orm import Session

from store import quotas
from store.columns import age, now
from store.errors import QuotaExceeded, StateConflict
from store.models import ApiKey, TenantShare

_TOKEN = re.compile(r"idr_live_([0-9a-f]{32})_([0-9a-f]{64})")
_SEEN_EVERY_SECONDS = 60.0
MAX_KEYS = 100
"""Live ones of one tenant."""


def create(
    session: Session,
    tenant_id: str,
    name: str,
    scopes: Sequence[str],
    expires_in: float | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; return it and the text to send, which nobody can be told again. `expires_in` goes first."""
    live = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now())
    there = select(func.count()).where(ApiKey.tenant_id == tenant_id, ApiKey.revoked_at.is_(None), live)
    if not quotas.has_room(session, tenant_id, there, MAX_KEYS):
        raise QuotaExceeded(f"got one key more than {MAX_KEYS} that work, wanted no more; revoke one that nobody uses")
    secret = secrets.token_hex(32)
    row = ApiKey(tenant_id=tenant_id, name=name, scopes=list(scopes), secret_hash=_hash(secret))
    row.expires_at = expires_at if expires_in is None else now(expires_in)
    session.add(row)
    session.flush()
    session.refresh(row)
    return row, f"idr_live_{row.id.removeprefix('key_')}_{secret}"


def by_token(session: Session, token: str) -> ApiKey | None:
    """Return the live key that a text is for, in a transaction of no tenant."""
    found = _TOKEN.fullmatch(token)
    row = by_id(session, f"key_{found.group(1)}") if found else None
    if row is None or found is None or not hmac.compare_digest(row.secret_hash, _hash(found.group(2))):
        return None
    return row


def by_id(session: Session, key_id: str) -> ApiKey | None:
    """Return a live key of a tenant that is not suspended, in a transaction of no tenant."""
    return session.scalars(_live_key(session.get_bind().dialect.name), {"id": key_id}).one_or_none()


@cache  # every request asks this: to put the statement together takes longer than to run it
def _live_key(dialect: str) -> Executable:
    if dialect == "postgresql":
        return select(ApiKey).from_statement(text("SELECT * FROM idprefer_authenticate(:id)"))
    live = and_(
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()),
        TenantShare.suspended.is_(False),
    )
    known = select(ApiKey).join(TenantShare, TenantShare.tenant_id == ApiKey.tenant_id)
    return known.where(ApiKey.id == bindparam("id"), live)


def seen(session: Session, tenant_id: str, key_id: str) -> None:
    """Note that a key was used, once a minute at most."""
    stale = or_(ApiKey.last_used_at.is_(None), age(ApiKey.last_used_at) > _SEEN_EVERY_SECONDS)
    session.execute(
        update(ApiKey)
        .where(ApiKey.tenant_id == tenant_id, ApiKey.id == key_id, stale)
        .values(last_used_at=now())
        .execution_options(synchronize_session=False)
    )


def revoke(session: Session, row: ApiKey) -> None:
    """End a key now."""
    if row.revoked_at is None:
        _set(session, row, revoked_at=now())


def rotate(session: Session, old: ApiKey, overlap_seconds: float) -> tuple[ApiKey, str]:
    """Make a key's successor; the old one works on for the overlap, and no longer than it would have."""
    if old.revoked_at is not None:
        raise StateConflict("got a key that is revoked, wanted one that works; make a new one")
    this = (ApiKey.tenant_id == old.tenant_id, ApiKey.id == old.id)
    if session.scalar(select(ApiKey.id).where(*this, ApiKey.expires_at <= now())) is not None:
        raise StateConflict("got a key that has expired, wanted one that works; make a new one")
    until = old.expires_at
    ends = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now(overlap_seconds))
    session.execute(
        update(ApiKey)
        .where(*this, ends)
        .values(expires_at=now(overlap_seconds))
        .execution_options(synchronize_session=False)
    )
    session.refresh(old)
    return create(session, old.tenant_id, old.name, old.scopes, expires_at=until)


def _set(session: Session, row: ApiKey, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    session.flush()
    session.refresh(row)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
