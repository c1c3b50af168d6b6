"""A worker whose GPU step is a nap of fixed length; claiming and publishing are the product's own."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Barrier
from unittest.mock import patch

from store import ledger, workers
from store.blobs import LocalBlobs
from store.database import Database
from store.safe import Safe
from store.vault import Vault
from worker import loop
from worker.bell import Bell
from worker.options import WorkerOptions
from worker.parts import Parts, assemble

STEP_SECONDS = 0.05


def work(url: str, folder: Path, start: Barrier) -> tuple[int, float, float]:
    """Work until nothing waits; return how many jobs were done, and from when until when (of one clock for all)."""
    database = Database(url, "ledger", pool_size=2)
    safe = Safe(Vault([bytes(32)]), LocalBlobs(folder))
    parts = assemble(database, safe, WorkerOptions(folder, batch=1), Bell())
    with database.transaction(None) as session:
        parts.heart.worker_id = workers.register(session, "a nap", "none").id
    worker = loop.Worker(parts)
    start.wait()
    began, done = time.monotonic(), 0
    with patch.object(loop, "perform", _nap):
        while worker.turn():
            done += 1
    ended = time.monotonic()
    database.close()
    return done, began, ended


def _nap(parts: Parts, claims: Sequence[ledger.Claim], let_past: Callable[[], None]) -> None:
    time.sleep(STEP_SECONDS)
    for claim in claims:
        with parts.database.transaction(None) as session:
            ledger.succeed(session, claim.lease, {"compute_seconds": STEP_SECONDS})
