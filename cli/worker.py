"""`idprefer worker`: worker processes under Celery where there is a broker, else one that looks for itself."""

import signal
import threading
from pathlib import Path

from cli import logs, working
from cli.audit import erase_again
from store import settings
from worker.bell import Bell

_POLL_SECONDS = 5.0  # under Celery, from one look to the next when nobody rings


def run(data: Path | None, choices: working.Choices, processes: int) -> None:
    """Work until SIGTERM or Ctrl-C, which lets what was begun be finished."""
    chosen = settings.load(data)
    logs.set_up(chosen)
    erase_again(chosen, "ledger")
    if chosen.redis_url:
        from worker import celery_app

        celery_app.run(chosen, working.worker_options(chosen, choices, _POLL_SECONDS), processes)
        return
    bell = Bell()
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread of its own: a signal may come while this one holds the bell's lock.
        signal.signal(number, lambda *_: threading.Thread(target=bell.stop).start())
    working.work(chosen, working.worker_options(chosen, choices))(bell)
