"""A real worker for tests that kill it; importable by name, as a spawned process must be."""

from core import options as core_options
from core import precision
from store import ledger
from store.settings import Settings
from worker import process
from worker.bell import Bell
from worker.options import WorkerOptions


def be_worker(settings: Settings, options: WorkerOptions, lease_seconds: float, bell: Bell) -> None:
    """Be a real worker, whose lease may be short and whose arithmetic is that of every other process here."""
    ledger.LEASE_SECONDS = lease_seconds
    precision._GAIN_WANTED = 1e9  # always fp32: a busy machine might answer the probe otherwise
    core_options._RESTORE_PRESETS = {name: {"steps": 4} for name in core_options.PRESETS}
    process.work(settings, options, bell)
