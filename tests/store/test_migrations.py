"""The migrations: up and down on both databases, and no model without one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect
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


def test_up_matches_the_models_and_down_leaves_nothing(empty_url: str) -> None:
    """After an upgrade the tables are the models'; after a downgrade there is none; both can be repeated."""
    schema.upgrade(empty_url)
    command.check(schema.config(empty_url))
    schema.downgrade(empty_url, "base")
    assert _tables(empty_url) <= {"alembic_version"}
    schema.upgrade(empty_url)
    assert "jobs" in _tables(empty_url)


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
