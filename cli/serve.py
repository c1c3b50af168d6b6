"""`idprefer serve`: the whole product on one machine, or one API process of many."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from api.app import create_app
from api.parts import parts_from
from api.server import Server, server_config
from cli import logs, working
from cli.audit import erase_again
from cli.housekeeping import caring
from core.errors import InvalidOption
from store import operators, schema, settings
from store.database import Database
from store.doorbell import CeleryDoorbell, Doorbell, LocalDoorbell
from store.settings import Settings
from worker.supervisor import Supervisor

_GRACE_SECONDS = 10  # for requests that are being answered when it is time to stop; nobody waits for jobs then


def run(data: Path | None, host: str, port: int, choices: working.Choices) -> None:
    """Serve until Ctrl-C; embedded, with housekeeping and a worker process of its own."""
    chosen = settings.load(data)
    logs.set_up(chosen)
    listening = _listening(host, port)
    with contextlib.closing(listening), _stopped_by_terminate():
        key = prepared(chosen)
        erase_again(chosen, "api")
        with _doorbell(chosen, choices) as doorbell:
            server = _Server(create_app(parts_from(chosen, doorbell)), _greeting(chosen, listening, key))
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
            typer.echo("Stopping: what was begun is being finished. Ctrl-C again to leave at once.", err=True)


def prepared(chosen: Settings) -> str | None:
    """Bring the database up to date; return the first key's text where this made the first tenant."""
    if chosen.mode == "production":
        return None  # an operator migrates once, not every process
    schema.upgrade(chosen.database_url)
    database = Database(chosen.database_url, role="operator")
    with contextlib.closing(database), database.transaction(None) as session:
        if operators.tenants(session, limit=1):
            return None
        return operators.create_tenant(session, "first tenant", operator=True)[2]


@contextlib.contextmanager
def _doorbell(chosen: Settings, choices: working.Choices) -> Iterator[Doorbell]:
    """Return what the API rings; embedded, whoever hears it runs beside the API meanwhile."""
    if chosen.mode == "production":
        yield CeleryDoorbell(chosen.redis_url) if chosen.redis_url else LocalDoorbell(threading.Event())
        return
    supervisor = Supervisor(working.work(chosen, working.worker_options(chosen, choices)))
    with supervisor.running(), caring(chosen, supervisor):
        yield supervisor


def _listening(host: str, port: int) -> socket.socket:
    """Return the socket, bound before anything else is done; InvalidOption where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InvalidOption(
            f"got address {host} port {port}, which cannot be listened at ({error.strerror}); choose another by --port"
        ) from error


def _greeting(chosen: Settings, listening: socket.socket, key: str | None) -> str:
    host, port = listening.getsockname()[:2]
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host
    lines = [
        "ID-PreFeR is ready.",
        f"  studio  http://{shown}:{port}/",
        f"  API     http://{shown}:{port}/openapi.json",
    ]
    if chosen.mode == "embedded":
        lines.append(f"  data    {chosen.data_dir.resolve()}")
    if key is not None:
        lines.append(f"  key     {key}")
        lines.append("This key administers everything and is shown this once: keep it. Sign in to the studio with it.")
    return "\n".join([*lines, "Ctrl-C ends it; what was begun is finished first."])


class _Server(Server):
    """uvicorn that greets when it really listens."""

    def __init__(self, app: Any, greeting: str) -> None:
        super().__init__(server_config(app, log_config=None, timeout_graceful_shutdown=_GRACE_SECONDS))
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        typer.echo(self._greeting)


@contextlib.contextmanager
def _stopped_by_terminate() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
