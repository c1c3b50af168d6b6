"""A service in a process of its own, whose memory, threads and speed are its alone."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tests.api.service import serving

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Alone:
    """A running process, its port, a key and somebody's job that waits."""

    pid: int
    port: int
    key: str
    job_id: str

    def status(self, name: str) -> int:
        """Return a number of /proc/PID/status: VmRSS and VmHWM in kB, Threads."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])

    def cpu_seconds(self) -> float:
        """Return the processor's time that it has taken so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self) -> None:
        """Let VmHWM count from here."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextmanager
def alone(folder: Path, environment: Mapping[str, str]) -> Iterator[Alone]:
    """Run the process for a while; the environment says over which servers."""
    command = [sys.executable, "-m", "tests.api.alone", str(folder)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, **pipes)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        port, key, job_id = process.stdout.readline().split()
        yield Alone(process.pid, int(port), key, job_id)
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def main(folder: Path) -> None:
    """Serve until stdin ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
    with serving(folder) as service:
        tenant = service.tenant()
        job_id = tenant.reference(tenant.identity())["job_id"]
        sys.stdout.write(f"{service.url.rpartition(':')[2]} {tenant.token} {job_id}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
