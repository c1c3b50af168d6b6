"""On Postgres the database tells of jobs: a waiter wakes without polling, and a connection that is lost comes back."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.live import Hub
from api.parts import hub_over
from store import ledger, models, schema
from store.blobs import LocalBlobs
from store.database import Database
from store.job_channel import CHANNEL, NAME, JobChannel
from store.safe import Safe
from store.vault import Vault
from tests.servers import database_of, free_port, postgres_server
from tests.store.archive import Archive

NEVER_SECONDS = 3600.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive on a Postgres database of our own."""
    folder: Path = tmp_path_factory.mktemp("blobs")
    with postgres_server() as server, database_of(server, f"idprefer_channel_{os.getpid()}") as url:
        schema.upgrade(url)
        with closing(Database(url, "api")) as api, closing(Database(url, "ledger")) as ledger_role:
            yield Archive(api, ledger_role, Safe(Vault([bytes(range(32))]), LocalBlobs(folder)))


@pytest.fixture
def job(archive: Archive) -> tuple[str, str]:
    """A tenant and its job that waits."""
    tenant_id = archive.tenant()
    return tenant_id, archive.training(tenant_id, archive.person(tenant_id))


@pytest.fixture
def quiet(archive: Archive) -> Hub:
    """A hub that never looks at all jobs by itself, but when it begins or ceases to hear."""
    return hub_over(archive.api, tick_seconds=NEVER_SECONDS, calm_seconds=NEVER_SECONDS)


def cancel(archive: Archive, tenant_id: str, job_id: str) -> None:
    """End a job that waits."""
    with archive.api.transaction(tenant_id) as session:
        ledger.cancel(session, session.get_one(models.Job, {"tenant_id": tenant_id, "id": job_id}))


def owner(archive: Archive) -> "psycopg.Connection[tuple[Any, ...]]":
    """Return a connection past the roles."""
    return psycopg.connect(archive.api.url.replace("+psycopg", ""), autocommit=True)


def hang_up(archive: Archive) -> None:
    """Cut the hub's connection."""
    with owner(archive) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            (NAME,),
        ).fetchall()
    assert cut == [(True,)]


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def test_an_event_wakes_a_waiter_without_polling(archive: Archive, quiet: Hub, job: tuple[str, str]) -> None:
    """A client that waits is answered when its job ends, though the hub would look by itself in an hour only."""

    async def story() -> None:
        async with quiet.running():
            await until(lambda: quiet.listening)
            waiting = asyncio.create_task(quiet.until_ended([job[1]], 30))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await asyncio.to_thread(cancel, archive, *job)
            assert await asyncio.wait_for(waiting, 5)

    asyncio.run(story())


def test_a_lost_connection_heals(archive: Archive, quiet: Hub, job: tuple[str, str]) -> None:
    """What happened while nobody listened is found when hearing begins again, and what happens then is heard."""
    later = archive.training(job[0], archive.person(job[0]))

    async def story() -> None:
        async with quiet.running():
            await until(lambda: quiet.listening)
            waiting = [asyncio.create_task(quiet.until_ended([each], 30)) for each in (job[1], later)]
            await asyncio.to_thread(hang_up, archive)
            await until(lambda: not quiet.listening)
            await asyncio.to_thread(cancel, archive, *job)
            await until(lambda: quiet.listening)
            assert await asyncio.wait_for(waiting[0], 5)
            await asyncio.to_thread(cancel, archive, job[0], later)
            assert await asyncio.wait_for(waiting[1], 5)

    asyncio.run(story())


def test_without_a_connection_the_hub_polls(archive: Archive, job: tuple[str, str]) -> None:
    """As long as nothing can be heard the hub looks as often as on SQLite."""
    with closing(Database(f"postgresql+psycopg://postgres@127.0.0.1:{free_port()}/none", "api")) as away:
        polling = hub_over(archive.api, tick_seconds=0.05, calm_seconds=NEVER_SECONDS)
        polling._listen = JobChannel(away).listen

        async def story() -> bool:
            async with polling.running():
                waiting = asyncio.create_task(polling.until_ended([job[1]], 30))
                await asyncio.sleep(0.3)
                await asyncio.to_thread(cancel, archive, *job)
                return await asyncio.wait_for(waiting, 5) and not polling.listening

        assert asyncio.run(story())


def test_what_is_told_is_an_id(archive: Archive, job: tuple[str, str]) -> None:
    """Of a job's states the database tells the id and nothing else, when they are committed; of progress nothing."""
    with owner(archive) as connection:
        connection.execute(f"LISTEN {CHANNEL}".encode())
        (claim,) = archive.claim("train")
        with archive.ledger.transaction(None) as session:
            ledger.progress(session, claim.lease, "training", 1, 10)
        with archive.ledger.transaction(None) as session:
            ledger.release(session, claim.lease)
            session.rollback()
        with archive.ledger.transaction(None) as session:
            ledger.release(session, claim.lease)
        told = list(connection.notifies(timeout=1, stop_after=3))
    assert [(notice.channel, notice.payload) for notice in told] == [(CHANNEL, claim.lease.job_id)] * 2


def test_progress_is_looked_for(archive: Archive, job: tuple[str, str]) -> None:
    """Progress is not told, and yet seen within the time between two looks."""
    (claim,) = archive.claim("train")
    hub = hub_over(archive.api, tick_seconds=NEVER_SECONDS, calm_seconds=0.1)

    def report() -> None:
        with archive.ledger.transaction(None) as session:
            ledger.progress(session, claim.lease, "training", 1, 10)

    async def story() -> int:
        async with hub.running():
            await until(lambda: hub.listening)
            with hub.watch(claim.lease.job_id) as watch:
                before = await asyncio.wait_for(watch.change(), 5)
                await asyncio.to_thread(report)
                after = await asyncio.wait_for(watch.change(), 5)
        assert before is not None
        assert after is not None
        return after.sequence - before.sequence

    assert asyncio.run(story()) == 1
