"""What a worker is made of."""

from dataclasses import dataclass

from store.database import Database
from store.safe import Safe
from worker.bell import Bell
from worker.cache import Caches, Networks
from worker.heart import Heart
from worker.options import WorkerOptions


@dataclass(frozen=True)
class Parts:
    """One worker process's parts."""

    database: Database
    safe: Safe
    networks: Networks
    caches: Caches
    heart: Heart
    bell: Bell
    options: WorkerOptions


def assemble(database: Database, safe: Safe, options: WorkerOptions, bell: Bell) -> Parts:
    """Return the parts over a database and a safe; the networks are loaded when they are first needed."""
    caches = Caches(options.cache_bytes)
    heart = Heart(database, caches, options.beat_seconds)
    return Parts(database, safe, Networks(options.bundle, options.device), caches, heart, bell, options)
