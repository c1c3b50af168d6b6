"""Whose rows are whose: what queries show, what keys forbid, and what Postgres enforces by itself."""

import os
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from migrations.rights_0001 import LEDGER_SEES
from migrations.rights_0005 import OF_TENANT
from store import keys, models, operators, outbox, people, queries
from store.columns import Base
from store.database import Database, acting_as
from store.errors import Gone
from tests.store.archive import Archive

on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def test_another_tenants_id_is_as_good_as_none(archive: Archive) -> None:
    """An id of another tenant finds nothing, like one that does not exist or has no shape."""
    mine, other = archive.tenant("mine"), archive.tenant("other")
    person = archive.person(other)
    with archive.api.transaction(mine) as session:
        for row_id in (person, person[:-1] + "0", "", "idn_", "x" * 10_000, "nul\0", "idn_é"):
            assert queries.one(session, models.Identity, mine, row_id) is None
        assert queries.rows(session, models.Identity, mine, 10) == []


def test_a_row_cannot_point_into_another_tenant(archive: Archive) -> None:
    """The foreign keys carry the tenant: a consent for another tenant's person is refused by the database."""
    mine, other = archive.tenant("mine"), archive.tenant("other")
    person = archive.person(other)
    with pytest.raises(IntegrityError), archive.api.transaction(mine) as session:
        session.add(models.Job(tenant_id=mine, kind="train", identity_id=person))


def test_pages_go_on_where_they_stopped(archive: Archive) -> None:
    """Rows come newest first, one more than asked for, from after a given id on, without tombstones."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        ids = [people.create(session, tenant, f"person {n}").id for n in range(5)]
        first = [row.id for row in queries.rows(session, models.Identity, tenant, 2)]
        assert first == ids[:1:-1]
        assert [row.id for row in queries.rows(session, models.Identity, tenant, 2, first[1])] == ids[2::-1]
        session.get_one(models.Identity, {"tenant_id": tenant, "id": ids[0]}).erased_at = func.now()
        session.flush()
        session.expire_all()
        assert len(queries.rows(session, models.Identity, tenant, 10)) == 4
        with pytest.raises(Gone):
            queries.one(session, models.Identity, tenant, ids[0])


def test_every_table_of_tenants_is_shut() -> None:
    """The rights name every table that has a tenant: a new one cannot be forgotten."""
    assert {name for name, table in Base.metadata.tables.items() if "tenant_id" in table.c} == set(OF_TENANT)


@on_postgres
def test_postgres_shows_one_tenant_only(archive: Archive) -> None:
    """Without any condition in the query, the front desk sees its tenant's rows, and none without a tenant."""
    mine, other = archive.tenant("mine"), archive.tenant("other")
    person, _ = archive.person(mine), archive.person(other)
    archive.training(mine, person)
    tables = [table for name, table in Base.metadata.tables.items() if name in OF_TENANT]
    with archive.api.transaction(mine) as session:
        seen = {table.name: set(session.scalars(select(table.c.tenant_id))) for table in tables}
        assert set().union(*seen.values()) == {mine}
        assert session.scalars(select(models.Tenant.id)).all() == [mine]
    with archive.api.transaction(None) as session:
        assert not any(session.scalars(select(table.c.tenant_id)).all() for table in tables)


@on_postgres
def test_postgres_lets_the_ledger_see_the_queue_only(archive: Archive) -> None:
    """Without a tenant the ledger sees everybody's jobs and shares, and nobody's people, photos or keys."""
    tenants = {archive.tenant("one"), archive.tenant("two")}
    for tenant in tenants:
        archive.training(tenant, archive.person(tenant))
    with archive.of(None) as session:
        for name in OF_TENANT:
            seen = set(session.scalars(select(Base.metadata.tables[name].c.tenant_id)))
            assert seen <= (tenants if name in LEDGER_SEES else set()), name
        assert set(session.scalars(select(models.Job.tenant_id))) == tenants


@on_postgres
def test_postgres_refuses_rows_for_another_tenant(archive: Archive) -> None:
    """A row cannot be written into another tenant, nor moved there."""
    mine, other = archive.tenant("mine"), archive.tenant("other")
    with pytest.raises(ProgrammingError, match="row-level security"), archive.api.transaction(mine) as session:
        session.add(models.Identity(tenant_id=other, name="smuggled"))
    archive.person(mine)
    with pytest.raises(DBAPIError), archive.api.transaction(mine) as session:
        session.execute(text("UPDATE identities SET tenant_id = :other"), {"other": other})


_FORBIDDEN: dict[str, Callable[[Session], object]] = {
    "changing the audit log": lambda s: s.execute(text("UPDATE audit_events SET action = 'x'")),
    "deleting from the audit log": lambda s: s.execute(text("DELETE FROM audit_events")),
    "making a tenant": lambda s: s.execute(text("INSERT INTO tenants VALUES ('ten_x', 'x', now())")),
    "emptying a table": lambda s: s.execute(text("TRUNCATE jobs CASCADE")),
    "switching security off": lambda s: s.execute(text("ALTER TABLE jobs DISABLE ROW LEVEL SECURITY")),
}


@on_postgres
@pytest.mark.parametrize("deed", _FORBIDDEN)
def test_postgres_forbids_the_front_desk(archive: Archive, deed: str) -> None:
    """The front desk's role owns nothing, and the audit log is append-only for it."""
    with pytest.raises(ProgrammingError), archive.api.transaction(archive.tenant()) as session:
        _FORBIDDEN[deed](session)


@on_postgres
def test_postgres_finds_a_key_before_its_tenant(archive: Archive) -> None:
    """A key is found by its text without a tenant, by a function whose search path is pinned; revoked ones are not."""
    with archive.api.transaction(None) as session:
        tenant, key, token = operators.create_tenant(session, "one")
        assert session.scalars(select(models.ApiKey.id)).all() == []
    with archive.api.transaction(None) as session:
        found = keys.by_token(session, token)
        assert found is not None
        assert (found.id, found.tenant_id) == (key.id, tenant.id)
        definer = "(prosecdef OR prorettype = 'trigger'::regtype)"
        pinned = f"bool_and({definer} AND 'search_path=pg_catalog, pg_temp' = ANY (proconfig))"
        assert session.scalar(text(f"SELECT {pinned} FROM pg_proc WHERE proname LIKE 'idprefer_%'"))
    with archive.api.transaction(tenant.id) as session:
        keys.revoke(session, session.get_one(models.ApiKey, {"tenant_id": tenant.id, "id": key.id}))
    with archive.api.transaction(None) as session:
        assert keys.by_token(session, token) is None


@on_postgres
def test_postgres_gives_the_operator_back(archive: Archive) -> None:
    """The operator's role lasts for its statements only, and sees no photo and no job's people even then."""
    tenant = archive.tenant()
    archive.person(tenant)
    with archive.api.transaction(None) as session:
        with acting_as(session, "operator"):
            assert session.scalar(text("SELECT current_user")) == "idprefer_operator"
            assert session.scalars(select(models.Tenant.id)).all() == [tenant]
            assert session.scalars(select(models.Reference.id)).all() == []
        assert session.scalar(text("SELECT current_user")) == "idprefer_api"
        assert session.scalars(select(models.Tenant.id)).all() == []


@on_postgres
def test_a_plain_login_is_enough(archive: Archive, postgres: str) -> None:
    """A login that owns nothing and is only a member of a role does that role's work, and no other's."""
    login = f"idprefer_login_{os.getpid()}"
    plain = Database(archive.api.url.replace("//postgres@", f"//{login}@"), "api")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {login} LOGIN; GRANT idprefer_api TO {login}".encode())
        try:
            with plain.transaction(None) as session:
                tenant, _, _ = operators.create_tenant(session, "one")
            with plain.transaction(tenant.id) as session:
                people.create(session, tenant.id, "Ada")
            with pytest.raises(ProgrammingError, match="permission denied"), plain.transaction(None) as session:
                session.execute(text("SET ROLE idprefer_ledger"))
        finally:
            plain.close()
            connection.execute(f"DROP ROLE {login}".encode())


@on_postgres
def test_postgres_keeps_the_tenant_for_one_transaction(archive: Archive) -> None:
    """A connection that goes back to the pool has forgotten whose it was."""
    tenant = archive.tenant()
    one = Database(archive.api.url, "api", pool_size=1)
    with one.transaction(tenant) as session:
        assert session.scalar(text("SELECT current_setting('app.tenant')")) == tenant
    with one.engine.connect() as connection:
        assert not connection.scalar(text("SELECT current_setting('app.tenant', true)"))
    one.close()


def test_the_hub_sees_how_far_jobs_are(archive: Archive) -> None:
    """Without a tenant, of jobs that are named, the number of the last event and the state are told."""
    one, two = archive.tenant("one"), archive.tenant("two")
    ids = [archive.training(tenant, archive.person(tenant)) for tenant in (one, two)]
    with archive.api.transaction(None, read_only=True) as session:
        assert queries.pulses(session, [*ids, "job_none"]) == dict.fromkeys(ids, (1, "queued"))
        assert queries.pulses(session, []) == {}


def test_errands_are_seen_across_tenants(archive: Archive) -> None:
    """The ledger takes everybody's errands, each once, and again only when they were not done in time."""
    tenants = [archive.tenant("one"), archive.tenant("two")]
    for tenant in tenants:
        with archive.api.transaction(tenant) as session:
            outbox.add(session, tenant, "expire", {"id": "x"})
            outbox.add(session, tenant, "expire", {"id": "later"}, in_seconds=60)
    with archive.of(None) as session:
        taken = outbox.claim(session, outbox.Wanted())
        assert [errand.tenant_id for errand in taken] == tenants
        assert outbox.claim(session, outbox.Wanted()) == []
        outbox.done(session, taken[0])
        outbox.later(session, taken[1], -1)
    with archive.of(None) as session:
        again = outbox.claim(session, outbox.Wanted())
        assert [(errand.id, errand.attempts) for errand in again] == [(taken[1].id, 2)]
