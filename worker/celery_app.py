"""Celery as doorbell and supervisor: it keeps the processes and rings them; what is to be done the database knows.

A task carries nothing: it claims and works until nothing waits or its slice of time ends, then rings again. A thread
in each process looks for itself when it has not been rung for a while, so that without Redis all is only slower.
"""

import os
import threading
import time
from typing import Any

import structlog
from celery import Celery, signals
from sqlalchemy.exc import SQLAlchemyError

from core.errors import PreferError
from store.doorbell import QUEUES, TASK
from store.errors import StoreError
from store.settings import Settings
from worker.accelerators import NoAcceleratorFree, take_one
from worker.bell import Bell
from worker.options import WorkerOptions

log = structlog.get_logger(__name__)
_SLICE_SECONDS = 30.0  # of work in one task
_READY_SECONDS = 120.0  # that a task waits for the networks to be loaded
_AGAIN_SECONDS = 10.0  # until loading that failed is tried again
_BROKEN = 70  # exit code of a process that cannot go on, as with a device beyond use: Celery starts another


def run(settings: Settings, options: WorkerOptions, processes: int) -> None:
    """Be a Celery worker of so many processes until SIGTERM, which lets each finish what it has."""
    app = new_app(settings.redis_url)
    node = Node(settings, options)

    @app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]
    def drain() -> None:
        if node.drain():
            app.send_task(TASK, queue=QUEUES["restore"], retry=False, ignore_result=True, expires=60)
        node.stand_aside()

    signals.worker_process_init.connect(node.begin, weak=False)
    signals.worker_process_shutdown.connect(node.end, weak=False)
    signals.worker_shutting_down.connect(node.tell_children, weak=False)
    queues = ",".join(QUEUES.values())
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            f"--concurrency={processes}",
            f"--queues={queues}",
            "--loglevel=WARNING",
        ]
        + ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    )


def new_app(redis_url: str) -> Celery:
    """Return the application of the workers' side."""
    app = Celery("idprefer", broker=redis_url)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,  # a bell that was heard need not ring again: the ledger remembers
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,  # our log lines are JSON as they are
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_connect_timeout": 2, "socket_timeout": 30},
    )
    return app


class Node:
    """What a prefork child is: a worker, its poller, and the pipe by which the parent says that it is time."""

    def __init__(self, settings: Settings, options: WorkerOptions) -> None:
        self._settings, self._options = settings, options
        self._bell = Bell()
        self._at_work = threading.Lock()  # one job or batch at a time, whether a task or the poller found it
        self._ready = threading.Event()
        self._over = threading.Event()  # the parent ends; without that, a bell that says stop is an operator's drain
        self._worker: Any = None
        self._poller: threading.Thread | None = None
        self._reader, self._writer = os.pipe()
        self._told = False

    def begin(self, **_: Any) -> None:
        """Start in a fresh child; Celery wants this quick, so the networks are loaded in the poller's thread."""
        os.close(self._writer)  # the parent's end: it closes when the parent says so, or dies
        threading.Thread(target=self._listen, name="parent", daemon=True).start()
        self._poller = threading.Thread(target=self._poll, name="poller", daemon=True)
        self._poller.start()

    def end(self, **_: Any) -> None:
        """Let a child finish what it has."""
        self._over.set()
        self._bell.stop()
        if self._poller is not None:
            self._poller.join()

    def tell_children(self, **_: Any) -> None:
        """Tell all children, from the parent, that it is time to end."""
        if not self._told:
            os.close(self._writer)
        self._told = True

    def drain(self) -> bool:
        """Work for a slice of time; return whether to ring again, for more may wait or somebody else must hear it."""
        if not self._ready.wait(_READY_SECONDS):
            return False  # the poller looks when it is ready
        more = self._work()
        return not self._over.is_set() if self._bell.stopped else more

    def stand_aside(self) -> None:
        """Drained by an operator, stay in this task until the parent ends: Celery gives rings to idle ones only."""
        if self._bell.stopped:
            self._over.wait()

    def _work(self) -> bool:
        with self._at_work:
            try:
                return bool(self._worker.drain(_SLICE_SECONDS))
            except RuntimeError as error:  # only a device that is beyond use comes through the job boundary
                log.critical("worker_process_gives_up", error=str(error))
                os._exit(_BROKEN)

    def _listen(self) -> None:
        os.read(self._reader, 1)
        self._over.set()
        self._bell.stop()

    def _poll(self) -> None:
        self._take_accelerator()
        from worker.loop import Worker  # here and not above: the parent never imports torch
        from worker.process import parts_of

        parts = parts_of(self._settings, self._options, self._bell)
        self._worker = Worker(parts)
        while not self._bell.stopped:
            try:
                with self._worker.alive():
                    self._ready.set()
                    self._look_now_and_then()
            except (PreferError, StoreError, SQLAlchemyError, OSError) as error:
                log.error("worker_not_started", error=f"{type(error).__name__}: {error}")
                self._ready.clear()
                time.sleep(_AGAIN_SECONDS)
        parts.database.close()
        if not self._bell.drained and not self._over.is_set():
            os._exit(_BROKEN)  # struck off after a long silence: Celery starts another

    def _take_accelerator(self) -> None:
        while not self._bell.stopped:
            try:
                take_one(self._settings.accelerator_locks)
                return
            except (NoAcceleratorFree, OSError) as error:
                log.error("worker_not_started", error=f"{type(error).__name__}: {error}")
                self._bell.wait(_AGAIN_SECONDS)

    def _look_now_and_then(self) -> None:
        while not self._bell.stopped:
            self._work()
            self._bell.wait(self._options.idle_seconds)
        with self._at_work:
            pass  # a task that is at work goes on to its end before the heart stops
