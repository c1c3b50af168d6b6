"""A process of the service with a lease of the test's own length: `python -m tests.chaos.process SECONDS worker`."""

import sys
from functools import partial
from unittest.mock import patch

from cli import app, working
from store import ledger
from worker.options import WorkerOptions


def main(lease_seconds: float, arguments: list[str]) -> None:
    """Run a command of the product."""
    ledger.LEASE_SECONDS = lease_seconds
    with patch.object(working, "WorkerOptions", partial(WorkerOptions, beat_seconds=lease_seconds / 3)):
        app.main(arguments)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
