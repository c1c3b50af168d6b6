"""The archive on SQLite and on Postgres: every test that asks for `archive` runs on both."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from store import schema
from store.blobs import LocalBlobs
from store.columns import Base
from store.database import Database
from store.safe import Safe
from store.vault import Vault
from tests.servers import database_of, postgres_server, redis_server
from tests.store.archive import Archive

ROOT_KEY = bytes(range(32))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a Postgres server."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgresql(postgres: str) -> Iterator[str]:
    """The URL of a migrated database on Postgres."""
    with database_of(postgres, f"idprefer_store_{os.getpid()}") as url:
        schema.upgrade(url)
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a migrated database on SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'archive.sqlite3'}"
    schema.upgrade(url)
    return url


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[Database, Database]]]:
    """The databases that tests share, under two roles each: an engine knows by heart what it has once compiled."""
    opened: dict[str, tuple[Database, Database]] = {}
    yield opened
    for pair in opened.values():
        for database in pair:
            database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database of either kind."""
    url: str = request.getfixturevalue(f"migrated_{request.param}")
    return url


@pytest.fixture
def archive(database_url: str, databases: dict[str, tuple[Database, Database]], tmp_path: Path) -> Iterator[Archive]:
    """An archive without anybody in it."""
    if database_url not in databases:
        databases[database_url] = (Database(database_url, "api"), Database(database_url, "ledger"))
    api, ledger = databases[database_url]
    yield Archive(api, ledger, Safe(Vault([ROOT_KEY]), LocalBlobs(tmp_path / "blobs")))
    _empty(database_url)


def _empty(url: str) -> None:
    """Delete every row, as whoever owns the tables."""
    statements = [f"DELETE FROM {table.name}" for table in reversed(Base.metadata.sorted_tables)]
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as connection:
            connection.executescript("; ".join(["BEGIN", *statements, "COMMIT"]))
    else:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("; ".join(statements).encode())
