"""What the database's errors say, and so what logs say: which rule was broken, and never with which value."""

import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.store.archive import Archive

SECRET = "Grace Hopper"
_TWICE = (
    "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, expires_at) VALUES (:tenant, :secret, :secret, :at)"
)
_NOTHING = "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, expires_at) VALUES (:tenant, :secret, NULL, :at)"
_NO_NUMBER = "SELECT CAST(:secret AS integer)"


def _said(archive: Archive, *statements: str) -> str:
    """Return all that a log would show of a transaction that fails."""
    tenant = archive.tenant()
    given = {"tenant": tenant, "secret": SECRET, "at": "2030-01-01"}
    with archive.api.transaction(tenant) as session:
        for statement in statements[:-1]:
            session.execute(text(statement), given)
        with pytest.raises(DBAPIError) as caught:
            session.execute(text(statements[-1]), given)
        session.rollback()
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value.orig)


@pytest.mark.parametrize("statements", [(_TWICE, _TWICE), (_NOTHING,)])
def test_a_row_that_is_refused_is_not_quoted(archive: Archive, statements: tuple[str, ...]) -> None:
    """Neither the values that were given nor those of the row are told; which table it was is."""
    said = _said(archive, *statements)
    assert SECRET not in said
    assert "idempotency_keys" in said


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_value_that_does_not_fit_is_not_quoted(archive: Archive) -> None:
    """Postgres quotes a value that a column does not take; we do not. SQLite takes any value."""
    said = _said(archive, _NO_NUMBER)
    assert SECRET not in said
    assert "does not take" in said
