"""The migrations: up and down on both databases, and no model without one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from store import schema
from store.database import Database
from tests.servers import database_of


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    with database_of(request.getfixturevalue("postgres"), f"idprefer_empty_{tmp_path.name[:20]}".lower()) as url:
        yield url


def _tables(url: str) -> set[str]:
    engine = create_engine(url, poolclass=NullPool)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def _columns(url: str, table: str) -> set[str]:
    engine = create_engine(url, poolclass=NullPool)
    names = {str(column["name"]) for column in inspect(engine).get_columns(table)}
    engine.dispose()
    return names


def test_up_matches_the_models_and_down_leaves_nothing(empty_url: str) -> None:
    """After an upgrade the tables are the models'; after a downgrade there is none; both can be repeated."""
    schema.upgrade(empty_url)
    command.check(schema.config(empty_url))
    schema.downgrade(empty_url, "base")
    assert _tables(empty_url) <= {"alembic_version"}
    schema.upgrade(empty_url)
    assert "jobs" in _tables(empty_url)


def test_a_step_from_the_version_before(empty_url: str) -> None:
    """A database of the version before takes the last step, with what is in it, and could take it back."""
    schema.upgrade(empty_url, "0005")
    engine = create_engine(empty_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO tenants (id, name, created_at) VALUES ('ten_1', 'one', '2026-01-01')"))
        lane = "INSERT INTO tenant_lanes (tenant_id, kind, virtual_time) VALUES ('ten_1', 'train', 7)"
        connection.execute(text(lane))
    schema.upgrade(empty_url)
    command.check(schema.config(empty_url))
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT tenant_id, virtual_time, served_at FROM tenant_lanes")).one()
        assert tuple(kept) == ("ten_1", 7, None)
    engine.dispose()
    schema.downgrade(empty_url, "0005")
    assert "served_at" not in _columns(empty_url, "tenant_lanes")


def test_a_database_says_what_it_lacks(empty_url: str) -> None:
    """A database without our schema says so, one that is away too, and a whole one lacks nothing."""
    database = Database(empty_url)
    assert schema.missing(database) == ["schema of this version"]
    schema.upgrade(empty_url)
    assert schema.missing(database) == []
    database.close()
    away = Database("postgresql+psycopg://postgres@127.0.0.1:1/none")
    assert schema.missing(away) == ["database"]
    away.close()
