"""Postgres and Redis for the tests: those that run here already, else ones started from the installed binaries.

Where there is neither, the tests that need one are skipped, and say so; on CI that is a failure.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis


@dataclass
class OwnServer:
    """A server process of a test's own, which it may end and start again."""

    url: str
    command: Sequence[object]
    ask: Callable[[], object]
    user: str | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        parts = [str(part) for part in self.command]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(parts, user=self.user, cwd="/", stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + 60
        while not _answers(self.ask):
            assert time.monotonic() < deadline, f"{parts[0]} did not start"
            time.sleep(0.1)

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal."""
        assert self.process is not None, "it runs"
        self.process.send_signal(with_signal)
        self.process.wait(60)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of a Postgres server's database `postgres`, as its superuser."""
    url = os.environ.get("IDPREFER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
    if _answers(lambda: psycopg.connect(url, connect_timeout=1).close()):
        yield url
        return
    with own_postgres() as server:
        yield server.url


@contextmanager
def own_postgres() -> Iterator[OwnServer]:
    """Run a Postgres server that nobody else uses, on a free port."""
    binary = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if binary is None:
        _without("Postgres")
    # Not in a test's folder: as root, Postgres runs as somebody else, whom pytest lets into none of its folders.
    with tempfile.TemporaryDirectory(prefix="idprefer-postgres-") as folder:
        data, port, user = Path(folder) / "data", free_port(), _unprivileged(Path(folder))
        _run([binary, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], user)
        command = [Path(binary).with_name("postgres"), "-D", data, "-p", port, "-k", data, "-h", "127.0.0.1", "-F"]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        with _running(OwnServer(url, command, lambda: psycopg.connect(url, connect_timeout=1).close(), user)) as server:
            yield server


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Yield the URL of a Redis server's database of ours."""
    url = os.environ.get("IDPREFER_TEST_REDIS", "redis://127.0.0.1:6379/9")
    if _answers(lambda: _ping(url)):
        yield url
        return
    with own_redis(folder) as server:
        yield server.url


@contextmanager
def own_redis(folder: Path) -> Iterator[OwnServer]:
    """Run a Redis server that nobody else uses, on a free port; what it holds is lost when it ends."""
    binary = shutil.which("redis-server")
    if binary is None:
        _without("Redis")
    port = free_port()
    command = [binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    url = f"redis://127.0.0.1:{port}/9"
    with _running(OwnServer(url, command, lambda: _ping(url))) as server:
        yield server


@contextmanager
def database_of(server: str, name: str) -> Iterator[str]:
    """Yield the SQLAlchemy URL of a new, empty database on a server."""
    _tell(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    _tell(server, f'CREATE DATABASE "{name}"')
    yield server.replace("postgresql://", "postgresql+psycopg://").rpartition("/")[0] + f"/{name}"
    _tell(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _tell(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:  # a new one each time: a test may restart the server
        connection.execute(statement.encode())


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
def _running(server: OwnServer) -> Iterator[OwnServer]:
    try:
        server.start()
        yield server
    finally:
        server.end(signal.SIGINT)  # Postgres does not wait for clients that are still connected
