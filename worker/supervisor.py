"""The embedded worker: one child process, started anew when it dies, drained when its parent ends.

One that an operator drained stays away until its parent is started anew, as a worker of any other mode does.

A pipe to the child does everything: a byte is the doorbell, its end means drain, and since it ends with the parent a
child cannot outlive it for long.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import structlog

from worker.bell import Bell

log = structlog.get_logger(__name__)
_RING = b"ring"
_PAUSES_SECONDS = (0.0, 1.0, 2.0, 5.0, 15.0)  # before a child that dies again and again is started again
_DRAINED = 64  # exit code of a child that an operator sent away
_HEALTHY_SECONDS = 60.0  # after so long a life, the next death counts as the first

Work = Callable[[Bell], None]
"""What a child does, given the bell that wakes and stops it; it must be importable by name."""


class Supervisor:
    """Keeps one worker process alive."""

    def __init__(self, work: Work, drain_seconds: float = 30.0) -> None:
        self._work, self._drain_seconds = work, drain_seconds
        self._context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

    def ring(self) -> None:
        """Wake the child; a bell that rings already needs no second pull."""
        with self._changing, contextlib.suppress(BlockingIOError, BrokenPipeError, OSError):
            if self._pipe is not None:
                self._pipe.send_bytes(_RING)

    def wake(self, kind: str) -> None:
        """Be the doorbell of the API in the same process: there is one worker, whatever the kind."""
        self.ring()

    def close(self) -> None:
        """There is nothing to let go of: the child is drained by whoever keeps it running."""

    @property
    def pid(self) -> int | None:
        """Return the child's process id."""
        return None if self._child is None else self._child.pid

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keep a child alive meanwhile; at the end let it finish what it has, and kill it if that takes too long."""
        watcher = threading.Thread(target=self._watch, name="worker-supervisor")
        watcher.start()
        try:
            yield
        finally:
            self._drain()
            watcher.join(self._drain_seconds)
            if watcher.is_alive() and self._child is not None:
                log.warning("worker_process_killed", drain_seconds=self._drain_seconds)
                self._child.kill()
            watcher.join()

    def _watch(self) -> None:
        deaths = 0
        while not self._stopping.wait(_PAUSES_SECONDS[min(deaths, len(_PAUSES_SECONDS) - 1)]):
            child = self._start()
            if child is None:
                return
            child.join(_HEALTHY_SECONDS)
            deaths = deaths + 1 if child.exitcode is not None else 0
            child.join()
            if child.exitcode == _DRAINED:
                log.warning("worker_drained", advice="nothing is worked on until this service is started anew")
                return
            if not self._stopping.is_set():
                log.warning("worker_process_died", exit_code=child.exitcode, deaths=deaths)

    def _start(self) -> BaseProcess | None:
        with self._changing:
            if self._stopping.is_set():
                return None
            reader, writer = self._context.Pipe(duplex=False)
            os.set_blocking(writer.fileno(), False)
            child = self._context.Process(target=_live, args=(self._work, reader), name="idprefer-worker", daemon=True)
            child.start()
            reader.close()
            if self._pipe is not None:
                self._pipe.close()
            self._child, self._pipe = child, writer
            return child

    def _drain(self) -> None:
        """Let no child be started any more, and tell the last one to end."""
        self._stopping.set()
        with self._changing:
            if self._pipe is not None:
                self._pipe.close()
            self._pipe = None


def _live(work: Work, pipe: Connection) -> None:
    """Be the child: work until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which drains
    bell = Bell()
    # In a thread of its own: a signal may come while this one holds the bell's lock.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=bell.stop).start())
    threading.Thread(target=_listen, args=(pipe, bell), name="doorbell", daemon=True).start()
    work(bell)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # All is said and done: taking gigabytes of networks apart first may last longer than the parent waits.
    os._exit(_DRAINED if bell.drained else 0)


def _listen(pipe: Connection, bell: Bell) -> None:
    while True:
        try:
            pipe.recv_bytes()
        except (EOFError, OSError):
            bell.stop()
            if not bell.awake:
                os._exit(0)  # still loading networks, which nobody needs any more
            return
        bell.ring()
