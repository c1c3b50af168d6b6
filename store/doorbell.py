"""The doorbell: wakes a worker that would look by itself a few seconds later; it carries nothing that matters.

Two real ones: an event shared with a worker on this machine, and Celery.
"""

from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

TASK = "idprefer.drain"
QUEUES = {"assess": "idprefer-assess", "restore": "idprefer-restore", "train": "idprefer-train"}
"""The Celery queue that each kind of job is rung on."""


class Doorbell(Protocol):
    """Wakes workers. `wake` is called after the commit, never raises, and never blocks for long."""

    def wake(self, kind: str) -> None:
        """Tell some worker that a job of this kind waits."""

    def close(self) -> None:
        """Let go of connections."""


class Flag(Protocol):
    """What threading.Event and multiprocessing.Event have in common."""

    def set(self) -> None:
        """Raise the flag."""

    def clear(self) -> None:
        """Lower the flag."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the flag; return whether it is up."""


class LocalDoorbell:
    """Rings a worker thread or a worker process of this machine, through the flag they share."""

    def __init__(self, flag: Flag) -> None:
        self._flag = flag

    def wake(self, kind: str) -> None:
        """Raise the flag, whatever the kind."""
        self._flag.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it has rung, at most so long; return whether it has."""
        rung = self._flag.wait(seconds)
        self._flag.clear()
        return rung

    def close(self) -> None:
        """There is nothing to let go of."""


class CeleryDoorbell:
    """Rings through Celery's broker; where that is away, the workers' own pollers find the job."""

    def __init__(self, redis_url: str) -> None:
        self._app = _client(redis_url)

    def wake(self, kind: str) -> None:
        """Send the task that drains the queue of this kind, once, without waiting for an absent broker."""
        from kombu.exceptions import OperationalError

        try:
            self._app.send_task(TASK, queue=QUEUES[kind], retry=False, ignore_result=True, expires=60)
        except (OperationalError, OSError) as error:
            log.warning("doorbell_silent", kind=kind, error=str(error))

    def close(self) -> None:
        """Close the broker's connections."""
        self._app.close()


def _client(redis_url: str) -> Any:
    """Return a Celery client that gives up quickly."""
    from celery import Celery  # lazily: who does not use it need not load it

    app = Celery("idprefer", broker=redis_url)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        broker_connection_timeout=1,
        broker_transport_options={"socket_connect_timeout": 1, "socket_timeout": 2, "max_retries": 0},
    )
    return app
