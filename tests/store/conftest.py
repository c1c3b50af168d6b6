"""The archive on SQLite and on Postgres: every test that asks for `archive` runs on both."""

import os
import shutil
from collections.abc import Iterator
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
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Postgres server."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> Iterator[str]:
    """The URL of a migrated database on Postgres."""
    with database_of(postgres, f"idprefer_store_{os.getpid()}") as url:
        schema.upgrade(url)
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite3"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of either kind, migrated."""
    if request.param == "sqlite":
        path = tmp_path / "archive.sqlite3"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    url = request.getfixturevalue("migrated_postgres")
    yield url
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        tables = reversed(Base.metadata.sorted_tables)
        connection.execute("; ".join(f"DELETE FROM {table.name}" for table in tables).encode())


@pytest.fixture
def archive(database_url: str, tmp_path: Path) -> Iterator[Archive]:
    """An archive without anybody in it."""
    api, ledger = Database(database_url, "api"), Database(database_url, "ledger")
    yield Archive(api, ledger, Safe(Vault([ROOT_KEY]), LocalBlobs(tmp_path / "blobs")))
    api.close()
    ledger.close()
