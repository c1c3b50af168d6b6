"""Postgres and Redis for the tests: those that run here already, else ones started from the installed binaries.

Where there is neither, the tests that need one are skipped, and say so; on CI that is a failure.
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Yield the URL of a Postgres server's database `postgres`, as its superuser."""
    url = os.environ.get("IDPREFER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
    if _answers(lambda: psycopg.connect(url, connect_timeout=1).close()):
        yield url
        return
    binary = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if binary is None:
        _without("Postgres")
    data, port = folder / "postgres", free_port()
    user = _unprivileged(folder)
    _run([binary, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], user)
    command = [Path(binary).with_name("postgres"), "-D", data, "-p", port, "-k", data, "-h", "127.0.0.1", "-F"]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    with _process(command, user, lambda: psycopg.connect(url, connect_timeout=1).close()):
        yield url


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Yield the URL of a Redis server's database of ours."""
    url = os.environ.get("IDPREFER_TEST_REDIS", "redis://127.0.0.1:6379/9")
    if _answers(lambda: _ping(url)):
        yield url
        return
    binary = shutil.which("redis-server")
    if binary is None:
        _without("Redis")
    port = free_port()
    command = [binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with _process(command, None, lambda: _ping(f"redis://127.0.0.1:{port}/9")):
        yield f"redis://127.0.0.1:{port}/9"


@contextmanager
def database_of(server: str, name: str) -> Iterator[str]:
    """Yield the SQLAlchemy URL of a new, empty database on a server."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield server.replace("postgresql://", "postgresql+psycopg://").rpartition("/")[0] + f"/{name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ping(url: str) -> None:
    with redis.Redis.from_url(url, socket_connect_timeout=1) as client:
        client.ping()


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (psycopg.OperationalError, redis.ConnectionError):
        return False
    return True


def _without(server: str) -> NoReturn:
    message = f"got no {server} and no binary to start one, wanted either; install it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _unprivileged(folder: Path) -> str | None:
    """Return the user to run Postgres as, which refuses to be root's."""
    if os.getuid() != 0:
        return None
    user = next(entry for name in ("postgres", "nobody") if (entry := _user(name)))
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path.is_relative_to(folder.parents[1]):
            path.chmod(0o755)
    os.chown(folder, user.pw_uid, -1)
    return user.pw_name


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _run(command: Sequence[object], user: str | None) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, user=user, cwd="/")


@contextmanager
def _process(command: Sequence[object], user: str | None, ask: Callable[[], object]) -> Iterator[None]:
    parts = [str(part) for part in command]
    process = subprocess.Popen(parts, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not _answers(ask):
            assert time.monotonic() < deadline, f"{command[0]} did not start"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)
