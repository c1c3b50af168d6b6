"""Waiting without threads: one hub per process watches every job that some client waits for."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger(__name__)

ENDED = frozenset({"succeeded", "failed", "canceled", "expired"})
LONGEST_WAIT_SECONDS = 60.0
Read = Callable[[Sequence[str]], Mapping[str, "Pulse"]]
Listen = Callable[[Callable[[str], None], Callable[[bool], None]], Coroutine[Any, Any, None]]
_BREATH_SECONDS = 0.02  # what happens at the same time is read at once
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
        self._leaving = False
        self._changed = asyncio.Event()

    def tell(self, pulse: Pulse) -> None:
        """Wake the client if something happened."""
        if pulse != self.pulse:
            self.pulse = pulse
            self._changed.set()

    def dismiss(self) -> None:
        """Wake the client, which is to wait no longer."""
        self._leaving = True
        self._changed.set()

    async def change(self) -> Pulse | None:
        """Return the job's pulse as soon as it is another than the last one seen; None: wait no longer."""
        await self._changed.wait()
        self._changed.clear()
        return None if self._leaving else self.pulse


class Hub:
    """One reader for all waiting clients: a client costs an event, not a thread or a connection.

    It looks at all jobs that are waited for every `tick_seconds`. Where the database tells of jobs by itself, it looks
    at those at once, and at all of them every `calm_seconds` only: for progress, which is not told, and to be sure.
    """

    def __init__(
        self, read: Read, tick_seconds: float = 0.1, listen: Listen | None = None, calm_seconds: float = 0.5
    ) -> None:
        self._read, self._listen = read, listen
        self._tick_seconds, self._calm_seconds = tick_seconds, calm_seconds
        self._watches: dict[str, set[Watch]] = {}
        self._due: set[str] = set()  # jobs to look at now
        self._news = asyncio.Event()
        self._next_look = 0.0  # at all of them
        self._leaving = False
        self.listening = False

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """Watch a job for as long as the client stays."""
        watch = Watch()
        self._watches.setdefault(job_id, set()).add(watch)
        self._heard(job_id)
        if self._leaving:
            watch.dismiss()
        try:
            yield watch
        finally:
            watches = self._watches[job_id]
            watches.discard(watch)
            if not watches:
                del self._watches[job_id]

    def dismiss(self) -> None:
        """Let nobody wait from here on: this process is about to end, and another one answers who asks again."""
        self._leaving = True
        for watches in self._watches.values():
            for watch in watches:
                watch.dismiss()

    async def until_ended(self, job_ids: Sequence[str], seconds: float) -> bool:
        """Wait until all these jobs have ended, at most so long; return whether they have."""
        try:
            async with asyncio.timeout(seconds):
                for job_id in job_ids:
                    with self.watch(job_id) as watch:
                        while (pulse := await watch.change()) is not None and not pulse.ended:
                            pass
                    if pulse is None:
                        return False
        except TimeoutError:
            return False
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep looking and listening while the application serves."""
        tasks = [asyncio.create_task(self._look())]
        if self._listen is not None:
            tasks.append(asyncio.create_task(self._listen(self._heard, self._tuned)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _heard(self, job_id: str) -> None:
        """Look at a job soon, if somebody waits for it."""
        if job_id in self._watches:
            self._due.add(job_id)
            self._news.set()

    def _tuned(self, listening: bool) -> None:
        """Look at everything when hearing begins or ends: something may have been missed."""
        self.listening = listening
        self._next_look = 0.0
        self._news.set()

    async def _look(self) -> None:
        while True:
            due = self._taken()
            for job_id, pulse in (await self._pulses(due)).items():
                for watch in self._watches.get(job_id, ()):
                    watch.tell(pulse)
            await self._rest()

    def _taken(self) -> list[str]:
        """Return what is to be looked at now."""
        now = time.monotonic()
        due = [job_id for job_id in self._due if job_id in self._watches]
        self._due.clear()
        if now < self._next_look:
            return due
        self._next_look = now + (self._calm_seconds if self.listening else self._tick_seconds)
        return list(self._watches)

    async def _pulses(self, job_ids: Sequence[str]) -> Mapping[str, Pulse]:
        if not job_ids:
            return {}
        try:
            return await to_thread.run_sync(self._read, job_ids)
        except SQLAlchemyError as error:
            log.warning("hub_cannot_read", error=str(error))
            self._next_look = min(self._next_look, time.monotonic() + self._tick_seconds)
            return {}

    async def _rest(self) -> None:
        """Wait for news, and while anybody waits not beyond the next look."""
        seconds = max(0.0, self._next_look - time.monotonic()) if self._watches else None
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()
        await asyncio.sleep(_BREATH_SECONDS)
