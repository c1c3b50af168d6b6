"""What Postgres tells of jobs: the id of each to which something happened, over one connection that listens."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from store.database import Database
from store.patience import CONNECT_SECONDS

log = structlog.get_logger(__name__)
CHANNEL = "idprefer_jobs"
"""Migration 0003 tells on this channel."""
NAME = "idprefer-hub"
"""What pg_stat_activity calls the connection."""
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)  # before it connects again, longer each time
_QUIET_SECONDS = 30.0  # after so long a silence it is asked whether it still lives
_ANSWER_SECONDS = 5.0


class JobChannel:
    """One connection outside of the pool, in the event loop of whoever listens; it is made anew when it is lost."""

    def __init__(self, database: Database) -> None:
        _, self._how = database.engine.dialect.create_connect_args(database.engine.url)
        self._role = database.role

    async def listen(self, heard: Callable[[str], None], tuned: Callable[[bool], None]) -> None:
        """Say each job's id until cancelled; `tuned` is told whenever hearing begins and ends."""
        failures = 0
        while True:
            try:
                async with await self._connected() as connection:
                    failures = 0
                    tuned(True)
                    await _follow(connection, heard)
            except (psycopg.Error, OSError) as error:  # a TimeoutError is an OSError
                log.warning("job_channel_lost", error=f"{type(error).__name__}: {error}")
            finally:
                tuned(False)
            await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
            failures += 1

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        options = {"connect_timeout": CONNECT_SECONDS, "application_name": NAME, "autocommit": True}
        connection = await psycopg.AsyncConnection.connect(**{**self._how, **options})
        try:
            if self._role is not None:
                await connection.execute(f"SET ROLE idprefer_{self._role}".encode())
            await connection.execute(f"LISTEN {CHANNEL}".encode())
        except BaseException:
            await connection.close()
            raise
        return connection


async def _follow(connection: psycopg.AsyncConnection[Any], heard: Callable[[str], None]) -> None:
    while True:
        async for notice in connection.notifies(timeout=_QUIET_SECONDS):
            heard(notice.payload)
        async with asyncio.timeout(_ANSWER_SECONDS):
            await connection.execute("SELECT 1")
