"""What an operator chooses for a worker process."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkerOptions:
    """How one worker process works."""

    bundle: Path
    device: str = "cpu"
    threads: int | None = None  # CPU threads; None: one less than torch takes, which leaves a core to others
    batch: int = 8  # restorations that run at once, at most
    cache_bytes: int = 1 << 30  # of adapters and references kept in memory
    content_credentials: bool = False  # C2PA in every picture
    idle_seconds: float = 1.0  # from one look for work to the next, when nobody rings
    look_seconds: float = 0.1  # from one look for a cancellation, or for work to let pass, to the next
    beat_seconds: float = 5.0  # from one heartbeat to the next
    checkpoint_every: int = 20  # training steps
    checkpoint_seconds: float = 5.0  # and not more often than this
