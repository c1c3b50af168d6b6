"""A process that does nothing but claim, as fast as it can, and is asked how long each claim took."""

import time
from multiprocessing.synchronize import Barrier

from store import ledger
from store.database import Database


def claim(url: str, worker_id: str, count: int, limit: int, start: Barrier) -> tuple[list[str], list[float], float]:
    """Claim so often; return the jobs, the seconds that each claim took, and the moment (of one clock) of the end."""
    database = Database(url, "ledger", pool_size=1)
    jobs: list[str] = []
    seconds: list[float] = []
    with database.transaction(None) as session:
        ledger.claim(session, worker_id, limit=limit)  # the first one connects, and compiles the statement
    start.wait()
    for _ in range(count):
        began = time.monotonic()
        with database.transaction(None) as session:
            claims = ledger.claim(session, worker_id, limit=limit)
        seconds.append(time.monotonic() - began)
        jobs += [each.lease.job_id for each in claims]
    database.close()
    return jobs, seconds, time.monotonic()
