"""`idprefer housekeeping`: the caretaker as a process, and beside the embedded API as a thread."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from cli import logs
from cli.audit import erase_again
from housekeeping.loop import Caretaker
from housekeeping.parts import Parts
from store import settings
from store.blobs_of import open_blobs
from store.database import Database
from store.doorbell import CeleryDoorbell, Doorbell, LocalDoorbell
from store.safe import Safe
from store.settings import Settings
from store.vault import Vault


def run(data: Path | None) -> None:
    """Keep house until SIGTERM or Ctrl-C."""
    chosen = settings.load(data)
    logs.set_up(chosen)
    erase_again(chosen, "ledger")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    bell = CeleryDoorbell(chosen.redis_url) if chosen.redis_url else LocalDoorbell(threading.Event())
    with contextlib.closing(bell), contextlib.closing(Database(chosen.database_url, role="ledger")) as database:
        Caretaker(_parts(chosen, database, bell)).work(stop)


@contextlib.contextmanager
def caring(chosen: Settings, doorbell: Doorbell) -> Iterator[None]:
    """Keep house in a thread meanwhile."""
    stop = threading.Event()
    with contextlib.closing(Database(chosen.database_url, role="ledger")) as database:
        caretaker = Caretaker(_parts(chosen, database, doorbell))
        thread = threading.Thread(target=caretaker.work, args=(stop,), name="housekeeping")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _parts(chosen: Settings, database: Database, doorbell: Doorbell) -> Parts:
    return Parts(database, Safe(Vault(chosen.root_key_list()), open_blobs(chosen)), doorbell)
