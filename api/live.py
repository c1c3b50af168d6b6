"""Waiting without threads: one hub per process watches every job that some client waits for."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger(__name__)

ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})
LONGEST_WAIT_SECONDS = 60.0
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


@dataclass(frozen=True)
class Pulse:
    """How far a job is: the number of its last event, and its state."""

    sequence: int
    state: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


def wait_seconds(prefer: str | None) -> float:
    """Return for how long a Prefer header asks to wait; 0 for not at all."""
    found = _WAIT.search(prefer or "")
    return min(float(found.group(1)), LONGEST_WAIT_SECONDS) if found else 0.0


class Watch:
    """One client's view of one job."""

    def __init__(self) -> None:
        self.pulse: Pulse | None = None
        self._changed = asyncio.Event()

    def tell(self, pulse: Pulse) -> None:
        """Wake the client if something happened."""
        if pulse != self.pulse:
            self.pulse = pulse
            self._changed.set()

    async def change(self) -> Pulse:
        """Return the job's pulse as soon as it is another than the last one seen."""
        await self._changed.wait()
        self._changed.clear()
        assert self.pulse is not None
        return self.pulse


class Hub:
    """One poller for all waiting clients: a client costs an event, not a thread or a connection."""

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, Pulse]], tick_seconds: float = 0.1) -> None:
        self._read = read
        self._tick_seconds = tick_seconds
        self._watches: dict[str, set[Watch]] = {}
        self._somebody = asyncio.Event()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """Watch a job for as long as the client stays."""
        watch = Watch()
        self._watches.setdefault(job_id, set()).add(watch)
        self._somebody.set()
        try:
            yield watch
        finally:
            watches = self._watches[job_id]
            watches.discard(watch)
            if not watches:
                del self._watches[job_id]

    async def until_ended(self, job_ids: Sequence[str], seconds: float) -> bool:
        """Wait until all these jobs have ended, at most so long; return whether they have."""
        try:
            async with asyncio.timeout(seconds):
                for job_id in job_ids:
                    with self.watch(job_id) as watch:
                        while not (await watch.change()).ended:
                            pass
        except TimeoutError:
            return False
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the poller alive while the application serves."""
        poller = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            if not self._watches:
                self._somebody.clear()
                await self._somebody.wait()
            try:
                pulses = await to_thread.run_sync(self._read, list(self._watches))
            except SQLAlchemyError as error:
                log.warning("hub_cannot_read", error=str(error))
                pulses = {}
            for job_id, pulse in pulses.items():
                for watch in self._watches.get(job_id, ()):
                    watch.tell(pulse)
            await asyncio.sleep(self._tick_seconds)
