"""`idprefer serve` as a process of its own, as a newcomer starts it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MINI = ROOT / "bundles" / "mini"
_STOP_SECONDS = 60.0  # for what was begun, on a machine that does much else


@dataclass(frozen=True)
class Served:
    """A service that answers."""

    address: str
    printed: str

    @property
    def key(self) -> str:
        """Return the key that the first start printed."""
        (key,) = re.findall(r"idr_live_\w+", self.printed)
        return str(key)


@contextmanager
def serving(data: Path, bundle: Path) -> Iterator[Served]:
    """Serve a data folder at a free port; ends with Ctrl-C, in good order."""
    command = [sys.executable, "-m", "cli.app", "serve", "--data", str(data), "--bundle", str(bundle), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield _greeted(process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert code == 0


def _greeted(process: "subprocess.Popen[str]") -> Served:
    """Read until the service says that it is ready."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("Ctrl-C"):
            break
    found = re.search(r"studio +http://localhost:(\d+)/", printed)
    assert found, printed
    return Served(f"http://127.0.0.1:{found.group(1)}", printed)
