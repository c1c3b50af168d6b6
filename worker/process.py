"""A whole worker process, put together from settings: what the supervisor's child, Celery's and a lone one share."""

import torch

from store.blobs_of import open_blobs
from store.database import Database
from store.safe import Safe
from store.settings import Settings
from store.vault import Vault
from worker.bell import Bell
from worker.loop import Worker
from worker.options import WorkerOptions
from worker.parts import Parts, assemble


def parts_of(settings: Settings, options: WorkerOptions, bell: Bell) -> Parts:
    """Return a worker's parts, once in a process; the database sees what the ledger's role sees."""
    torch.set_num_threads(options.threads or max(1, torch.get_num_threads() - 1))
    safe = Safe(Vault(settings.root_key_list()), open_blobs(settings))
    return assemble(Database(settings.database_url, role="ledger"), safe, options, bell)


def work(settings: Settings, options: WorkerOptions, bell: Bell) -> None:
    """Be a worker until the bell says stop."""
    parts = parts_of(settings, options, bell)
    try:
        Worker(parts).work()
    finally:
        parts.database.close()
