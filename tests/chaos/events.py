"""The log of a run, one JSON object a line: what was asked and answered, and which faults struck when."""

import json
import threading
import time
from pathlib import Path
from typing import Any


class EventLog:
    """Appends to the log, from any thread; every line is on disk before the next thing happens."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def write(self, what: str, **fields: Any) -> None:
        """Write down that something happened now."""
        with self._lock:
            self._file.write(json.dumps({"at": round(time.time(), 3), "what": what, **fields}) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return what happened, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()]
