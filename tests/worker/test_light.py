"""A test that what only rings, supervises or keeps house loads no torch: a fork must not inherit it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIGHT = ("worker.celery_app", "worker.supervisor", "cli.serve", "cli.worker", "cli.housekeeping", "cli.admin")


def test_parents_load_no_torch() -> None:
    """The parents of worker processes, the API and housekeeping load no torch."""
    code = f"import sys, {', '.join(LIGHT)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
