"""The whole service as in production, in processes that a test may kill: API, workers under Celery, the caretaker."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg

from store import operators, schema
from store.blobs_of import open_blobs
from store.database import Database
from store.safe import Safe
from store.settings import Settings
from store.vault import Vault
from tests.chaos.balancer import balancing
from tests.production import environment_of, production_settings
from tests.s3_server import S3Server, s3_server
from tests.servers import OwnServer, database_of, free_port, own_postgres, own_redis

ROOT = Path(__file__).parents[2]
_START_SECONDS = 120.0  # on a machine that does much else


@dataclass
class Program:
    """One process of the service, with its children in a group of their own."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.alive:
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=dict(self.environment), stdout=log, stderr=log, start_new_session=True
            )

    @property
    def alive(self) -> bool:
        """Whether it runs, or is stopped."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to its children; one that is dead already hears nothing."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill it without a word of warning, and its children."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def drain(self, seconds: float = 60.0) -> None:
        """Let it end in good order, and kill it where that takes too long."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()

    def children(self) -> list[int]:
        """Return the ids of its own children."""
        if not self.alive or self.process is None:
            return []
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass
class Stack:
    """Servers, processes, and how to reach them."""

    settings: Settings
    postgres: OwnServer
    redis: OwnServer
    s3: S3Server
    apis: list[Program]
    workers: list[Program]
    caretaker: Program
    url: str  # of the API, or of what balances between several
    lease_seconds: float

    @property
    def api(self) -> Program:
        """Return the API where there is one, else the first."""
        return self.apis[0]

    @property
    def programs(self) -> list[Program]:
        """Return all processes of the service."""
        return [*self.apis, self.caretaker, *self.workers]

    @property
    def safe(self) -> Safe:
        """Return the safe that all of them share."""
        return Safe(Vault(self.settings.root_key_list()), open_blobs(self.settings))

    def tend(self) -> list[str]:
        """Start again what has ended by itself, as a container's supervisor does; return the names."""
        dead = [program for program in self.programs if not program.alive]
        for program in dead:
            program.start()
        return [program.name for program in dead]

    def count(self, question: str) -> int:
        """Ask the database for a number, as its superuser."""
        with psycopg.connect(self.settings.database_url.replace("+psycopg", "")) as connection:
            row = connection.execute(question.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def key(self, name: str) -> str:
        """Make a tenant; return its key."""
        database = Database(self.settings.database_url, role="operator")
        with closing(database), database.transaction(None) as session:
            return operators.create_tenant(session, name)[2]


@contextmanager
def running(folder: Path, bundle: Path, workers: int, lease_seconds: float, apis: int = 1) -> Iterator[Stack]:
    """Run the service over servers of its own for as long as the block lasts."""
    with ExitStack() as exits:
        postgres = exits.enter_context(own_postgres())
        redis = exits.enter_context(own_redis(folder))
        s3 = exits.enter_context(s3_server())
        url = exits.enter_context(database_of(postgres.url, "idprefer_chaos"))
        schema.upgrade(url)
        settings = production_settings(url, redis.url, s3)
        ports = [free_port() for _ in range(apis)]
        stack = _stack(folder, settings, bundle, ports, workers, lease_seconds, (postgres, redis, s3))
        if apis > 1:
            stack.url = exits.enter_context(balancing(ports)).url
        for program in stack.programs:
            exits.callback(program.kill)
            program.start()
        for port in ports:
            wait_until_it_answers(port)
        yield stack


def _stack(
    folder: Path,
    settings: Settings,
    bundle: Path,
    ports: list[int],
    workers: int,
    lease_seconds: float,
    servers: tuple[OwnServer, OwnServer, S3Server],
) -> Stack:
    environment = {**os.environ, **environment_of(settings), "OMP_NUM_THREADS": "1"}

    def program(name: str, *arguments: str) -> Program:
        command = [sys.executable, "-m", "tests.chaos.process", str(lease_seconds), *arguments]
        return Program(name, command, environment, folder / f"{name}.log")

    work = ["worker", "--bundle", str(bundle), "--device", "cpu"]
    return Stack(
        settings,
        *servers,
        apis=[program(f"api_{n}" if n else "api", "serve", "--port", str(port)) for n, port in enumerate(ports)],
        workers=[program(f"worker_{n}", *work) for n in range(workers)],
        caretaker=program("caretaker", "housekeeping"),
        url=f"http://127.0.0.1:{ports[0]}",
        lease_seconds=lease_seconds,
    )


def wait_until_it_answers(port: int) -> None:
    """Wait until an API is ready."""
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/readyz", timeout=5).status_code == httpx2.codes.OK:
                return
        assert time.monotonic() < deadline, f"{url} did not answer within {_START_SECONDS:.0f} s"
        time.sleep(0.2)
