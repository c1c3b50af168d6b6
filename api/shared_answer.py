"""What anybody may ask without a key: worked out once for all who ask at one time, beside the threads of requests."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

Answer = TypeVar("Answer")
_PATIENCE_SECONDS = 5.0  # with a server that says nothing; then it is asked anew, since it may be back


class SharedAnswer(Generic[Answer]):
    """One answer at a time: whoever asks while it is worked out waits for it too, and holds no thread."""

    def __init__(self, work_out: Callable[[], Answer]) -> None:
        self._work_out = work_out
        self._working: asyncio.Task[Answer] | None = None
        self._begun = 0.0

    async def answer(self) -> Answer:
        """Return the answer of now; who waits no longer leaves the work to the others."""
        if self._working is None or self._working.done() or time.monotonic() - self._begun > _PATIENCE_SECONDS:
            self._working, self._begun = asyncio.create_task(self._in_thread()), time.monotonic()
        return await asyncio.shield(self._working)

    async def _in_thread(self) -> Answer:
        own = CapacityLimiter(1)  # not one of the threads that requests wait for
        return await to_thread.run_sync(self._work_out, abandon_on_cancel=True, limiter=own)
