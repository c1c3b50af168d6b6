"""Any of the eight stacks: SQLite or Postgres, files or S3, a bell in the process or Celery; all of it running.

The API is a real uvicorn, the worker a process of its own with the tiny bundle, the caretaker a thread. Nothing is
shared with another stack: servers, data and bell are its own.
"""

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cli.working import Choices, work, worker_options
from housekeeping.loop import Caretaker, Rhythm
from housekeeping.parts import Parts as HousekeepingParts
from store.blobs_of import open_blobs
from store.database import Database
from store.doorbell import CeleryDoorbell, Doorbell
from store.settings import Settings
from tests.api.service import Service, Tenant, served
from tests.production import environment_of
from tests.s3_server import s3_server
from tests.servers import database_of, own_redis, postgres_server
from tests.worker.house import House
from worker.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
_LOOK_SECONDS = 5.0  # from one look to the next: so seldom that a job which starts at once was rung for
Start = Callable[[ExitStack], Callable[[], None]]
"""Starts the worker, which ends with the exits at the latest; returns what tells it to end."""


@dataclass(frozen=True)
class Kind:
    """One of the eight."""

    database: str
    blobs: str
    bell: str

    def __str__(self) -> str:
        return f"{self.database}-{self.blobs}-{self.bell}"


EIGHT = [Kind(*parts) for parts in product(("sqlite", "postgres"), ("files", "s3"), ("in_process", "celery"))]


@dataclass(frozen=True)
class Stack:
    """A running stack, and one tenant of it."""

    service: Service
    tenant: Tenant
    bell: Doorbell
    end_worker: Callable[[], None]

    @property
    def house(self) -> House:
        """Return the same tenant without the front desk: jobs can be queued there that nobody is rung for."""
        return House(self.service.settings, self.service.parts.database, self.service.parts.safe, self.tenant.id)

    def kept(self) -> dict[str, bytes]:
        """Return every object as it lies in files or in the bucket."""
        blobs = open_blobs(self.service.settings)
        return {stored.name: b"".join(blobs.get(stored.name)) for stored in blobs.list("")}


@contextmanager
def running(kind: Kind, folder: Path, bundle: Path) -> Iterator[Stack]:
    """Run a stack of this kind for as long as the block lasts."""
    with ExitStack() as exits:
        settings = _settings(kind, folder, exits)
        choices = Choices(str(bundle), device="cpu", threads=1)
        bell, start = (_in_process if kind.bell == "in_process" else _celery)(settings, choices)
        service = exits.enter_context(served(settings, bell))
        end_worker = start(exits)
        exits.enter_context(_caring(service, bell))
        yield Stack(service, service.tenant(), bell, end_worker)


def _settings(kind: Kind, folder: Path, exits: ExitStack) -> Settings:
    """Return the settings over the servers of this kind, which are started."""
    values: dict[str, Any] = {
        "mode": "production" if kind.database == "postgres" else "embedded", "data_dir": folder,
        "database_url": f"sqlite:///{folder / 'idprefer.sqlite3'}", "requests_per_minute": 1_000_000,
        "root_keys": SecretStr(base64.b64encode(bytes(range(32))).decode()), "session_secret": SecretStr("s" * 40),
    }  # fmt: skip
    if kind.database == "postgres":
        server = exits.enter_context(postgres_server())
        values["database_url"] = exits.enter_context(database_of(server, f"idprefer_stack_{os.getpid()}"))
    if kind.blobs == "s3":
        s3 = exits.enter_context(s3_server())
        values |= {
            "s3_endpoint": s3.endpoint, "s3_bucket": s3.bucket, "s3_region": s3.region, "s3_secure": False,
            "s3_access_key": SecretStr(s3.access_key), "s3_secret_key": SecretStr(s3.secret_key),
        }  # fmt: skip
    if kind.bell == "celery":
        values["redis_url"] = exits.enter_context(own_redis(folder)).url
    return Settings(**values)


def _in_process(settings: Settings, choices: Choices) -> tuple[Doorbell, Start]:
    """Return a supervisor, which is the bell of its own worker process, as `serve` has it."""
    supervisor = Supervisor(work(settings, worker_options(settings, choices, _LOOK_SECONDS)))

    def start(exits: ExitStack) -> Callable[[], None]:
        living = exits.enter_context(ExitStack())
        living.enter_context(supervisor.running())
        return living.close

    return supervisor, start


def _celery(settings: Settings, choices: Choices) -> tuple[Doorbell, Start]:
    """Return Celery's bell, and what starts `idprefer worker`, as in production."""
    options = ["--bundle", str(choices.bundle), "--device", choices.device, "--threads", str(choices.threads)]
    command = [sys.executable, "-m", "cli.app", "worker", *options]

    def start(exits: ExitStack) -> Callable[[], None]:
        environment = {**os.environ, **environment_of(settings)}
        process = exits.enter_context(subprocess.Popen(command, cwd=ROOT, env=environment))

        def end() -> None:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise

        exits.callback(end)
        return end

    return CeleryDoorbell(settings.redis_url), start


@contextmanager
def _caring(service: Service, bell: Doorbell) -> Iterator[None]:
    """Keep house meanwhile, and reach receivers of webhooks on this machine."""
    stop = threading.Event()
    with closing(Database(service.settings.database_url, role="ledger")) as database:
        parts = HousekeepingParts(database, service.parts.safe, bell, may_reach=lambda _address: True)
        thread = threading.Thread(target=Caretaker(parts, Rhythm(errands=0.1, sweep=5.0)).work, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
