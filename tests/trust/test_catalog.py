"""What Postgres itself says of tables, policies and roles: nothing of a tenant's lies open, and nobody can open it."""

from collections.abc import Iterator

import psycopg
import pytest

from migrations.rights_0001 import LOGINS, OWNERS
from store import schema

_UNSHUT = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'
  AND NOT (relrowsecurity AND relforcerowsecurity)
"""
_WITHOUT_CHECK = "SELECT tablename || '.' || policyname FROM pg_policies WHERE qual IS NULL OR with_check IS NULL"
_UNGUARDED = """
SELECT grants.table_name || ' to ' || grants.grantee FROM information_schema.role_table_grants AS grants
WHERE grants.table_schema = 'public' AND grants.grantee LIKE 'idprefer_%' AND grants.table_name <> 'alembic_version'
  AND NOT EXISTS (SELECT 1 FROM pg_policies WHERE tablename = grants.table_name AND grants.grantee = ANY (roles))
"""
_TO_EVERYBODY = "SELECT tablename || '.' || policyname FROM pg_policies WHERE 'public' = ANY (roles)"
_VIEWS = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm', 'f')
"""
_WITHOUT_TENANT = """
SELECT conrelid::regclass::text || '.' || conname FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND confrelid <> 'tenants'::regclass
  AND NOT EXISTS (
    SELECT 1 FROM unnest(conkey) AS number
    JOIN pg_attribute ON attrelid = conrelid AND attnum = number WHERE attname = 'tenant_id')
"""
UNCOVERED = {
    "row-level security is not forced": _UNSHUT,
    "a policy without USING or WITH CHECK": _WITHOUT_CHECK,
    "a right without a policy": _UNGUARDED,
    "a policy for everybody": _TO_EVERYBODY,
    "a view, which its owner's rights would open": _VIEWS,
    "a reference that could lead into another tenant": _WITHOUT_TENANT,
}
MISTAKES = {
    "row-level security is not forced": "CREATE TABLE faces (tenant_id varchar, id varchar)",
    "a policy without USING or WITH CHECK": "CREATE POLICY p ON jobs FOR INSERT TO idprefer_api WITH CHECK (true)",
    "a right without a policy": "CREATE TABLE faces (id varchar); GRANT SELECT ON faces TO idprefer_api",
    "a policy for everybody": "CREATE POLICY p ON jobs USING (true) WITH CHECK (true)",
    "a view, which its owner's rights would open": "CREATE VIEW faces AS SELECT * FROM jobs",
    "a reference that could lead into another tenant": "CREATE TABLE faces (job varchar REFERENCES jobs (id))",
}


@pytest.fixture(scope="module")
def owner(postgres_url: str) -> Iterator["psycopg.Connection[tuple[str]]"]:
    """A connection as whoever owns the tables."""
    schema.upgrade(postgres_url)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def _found(owner: "psycopg.Connection[tuple[str]]", what: str) -> list[str]:
    return [row[0] for row in owner.execute(UNCOVERED[what].encode())]


@pytest.mark.parametrize("what", UNCOVERED)
def test_nothing_lies_open(owner: "psycopg.Connection[tuple[str]]", what: str) -> None:
    """Every table is shut by force, every right has its policy, every reference carries its tenant."""
    assert _found(owner, what) == []


@pytest.mark.parametrize("what", MISTAKES)
def test_a_forgotten_table_would_be_found(owner: "psycopg.Connection[tuple[str]]", what: str) -> None:
    """A migration that forgets any of this fails the test above."""
    with owner.transaction(force_rollback=True):
        owner.execute(MISTAKES[what].encode())
        assert _found(owner, what) != []


def test_the_roles_are_nobody_special(owner: "psycopg.Connection[tuple[str]]") -> None:
    """No role of the service is a superuser, passes policies by, makes roles, or owns a table."""
    roles = [*LOGINS, *OWNERS]
    special = "rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication"
    asked = f"SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND ({special})"
    assert owner.execute(asked.encode(), [roles]).fetchall() == []
    owned = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = ANY (%s)"
    assert owner.execute(owned.encode(), [roles]).fetchall() == []
