"""The hub: many clients, one poller, nobody forgotten."""

import asyncio
import threading
from collections.abc import Mapping, Sequence

import pytest

from api.live import Hub, Pulse, wait_seconds


class Jobs:
    """Jobs of which a test says how far they are."""

    def __init__(self) -> None:
        self.pulses: dict[str, Pulse] = {}
        self.reads = 0

    def read(self, job_ids: Sequence[str]) -> Mapping[str, Pulse]:
        """Return how far these jobs are."""
        self.reads += 1
        return {job_id: self.pulses[job_id] for job_id in job_ids if job_id in self.pulses}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0), ("", 0), ("wait=30", 30), ("respond-async, wait=5", 5), ("wait=9999", 60), ("wait=x", 0),
        ("await=5", 0), ("wait=-1", 0),
    ],
)  # fmt: skip
def test_prefer_names_the_seconds(header: str | None, seconds: float) -> None:
    """A Prefer header is read as RFC 7240 writes it, and bounded."""
    assert wait_seconds(header) == seconds


def test_a_waiting_client_wakes_when_its_job_ends() -> None:
    """Waiting ends with the job, not with the time."""

    async def story() -> bool:
        jobs = Jobs()
        hub = Hub(jobs.read, tick_seconds=0.01)
        jobs.pulses["a"] = Pulse(1, "running")
        async with hub.running():
            waiting = asyncio.create_task(hub.until_ended(["a"], 5))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            jobs.pulses["a"] = Pulse(2, "succeeded")
            return await asyncio.wait_for(waiting, 1)

    assert asyncio.run(story())


def test_a_client_stops_waiting_when_its_time_is_up() -> None:
    """A job that does not end leaves the client with what there is."""

    async def story() -> bool:
        hub = Hub(Jobs().read, tick_seconds=0.01)
        async with hub.running():
            return await hub.until_ended(["a"], 0.05)

    assert not asyncio.run(story())


def test_a_thousand_clients_hold_no_thread() -> None:
    """A thousand waiting clients cost one poller, and leave nothing behind."""

    async def story() -> int:
        jobs = Jobs()
        jobs.pulses.update({f"job{i}": Pulse(1, "queued") for i in range(1000)})
        hub = Hub(jobs.read, tick_seconds=0.01)
        async with hub.running():
            waiting = [asyncio.create_task(hub.until_ended([f"job{i}"], 10)) for i in range(1000)]
            await asyncio.sleep(0.1)
            threads = threading.active_count()
            jobs.pulses.update({f"job{i}": Pulse(2, "failed") for i in range(1000)})
            assert all(await asyncio.gather(*waiting))
            reads = jobs.reads
            await asyncio.sleep(0.05)
            assert jobs.reads <= reads + 1
        return threads

    assert asyncio.run(story()) <= threading.active_count() + 2
