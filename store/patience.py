"""A Postgres that has gone silent: every wait for it ends, and at once where it was silent a moment ago.

A server that was stopped answers with an error by itself. One that hangs, or whose machine has vanished, answers
nothing, and the driver would wait for ever.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")
CONNECT_SECONDS = 2
"""How long connecting may take; the driver knows no less."""
STATEMENT_SECONDS = 35.0
"""How long a statement may take: longer than the server allows it, so that the server speaks first if it can."""
_SILENT_SECONDS = 1.0  # for so long after a silence nobody tries to connect


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that gives up waiting; it is closed then, since nobody knows what the server still does with it."""

    patience_seconds = STATEMENT_SECONDS
    silent_at: float = -1e9  # when it gave up

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for what a statement yields, at most for this connection's patience; then OperationalError."""
        return super().wait(self._until(gen, time.monotonic() + self.patience_seconds), *args, **kwargs)

    def _until(self, gen: Generator[Any, Any, T], deadline: float) -> Generator[Any, Any, T]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # nothing is ready: the driver says so ten times a second
                if not ready and time.monotonic() > deadline:
                    self.silent_at = time.monotonic()
                    self.close()
                    raise psycopg.OperationalError(
                        f"got no answer from the database in {self.patience_seconds:g} s, wanted one; is it overloaded?"
                    )
                wanted = gen.send(ready)
        except StopIteration as done:
            value: T = done.value
            return value


def give_up_in_time(engine: Engine, ping_seconds: float) -> None:
    """Let a Postgres engine's connections be impatient ones; one that was idle is to show in so long that it lives."""
    door = _Door(ping_seconds)
    event.listen(engine, "do_connect", door.connect)
    event.listen(engine, "checkout", _trust)
    event.listen(engine, "checkin", door.doubt)
    event.listen(engine, "close", door.remember)


class _Door:
    """Where connections are made: shut for a moment after the server was silent."""

    def __init__(self, ping_seconds: float) -> None:
        self._ping_seconds = ping_seconds
        self._silent_at = -1e9

    def connect(self, dialect: object, record: object, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Connect, unless the server has just been silent: whoever asks then has waited once already."""
        if time.monotonic() - self._silent_at < _SILENT_SECONDS:
            raise psycopg.OperationalError("got no answer from the database a moment ago, wanted one; try again")
        try:
            connection = ImpatientConnection.connect(*args, **options)
        except psycopg.errors.ConnectionTimeout:
            self._silent_at = time.monotonic()
            raise
        connection.patience_seconds = self._ping_seconds
        return connection

    def remember(self, connection: object, record: ConnectionPoolEntry) -> None:
        """Remember a silence when the connection that met it is closed."""
        if isinstance(connection, ImpatientConnection):
            self._silent_at = max(self._silent_at, connection.silent_at)

    def doubt(self, connection: object, record: ConnectionPoolEntry) -> None:
        """Expect little of a connection that lies idle: the server may be gone when it is used next."""
        if isinstance(connection, ImpatientConnection):
            connection.patience_seconds = self._ping_seconds
            self.remember(connection, record)


def _trust(connection: object, record: ConnectionPoolEntry, proxy: object) -> None:
    """Give a connection that has answered the time that statements take."""
    if isinstance(connection, ImpatientConnection):
        connection.patience_seconds = STATEMENT_SECONDS
