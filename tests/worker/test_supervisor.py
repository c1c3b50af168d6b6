"""Tests of the embedded worker process: it is woken, started anew, drained, and does not outlive its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.worker.children import work
from worker.supervisor import Supervisor

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for a condition, at most so long; return whether it came true."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


def lines(folder: Path) -> list[str]:
    """Return what all children wrote, the oldest first."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_ctime_ns)
    return [line for path in files for line in path.read_text().split()]


def test_woken_and_drained(tmp_path: Path) -> None:
    """A ring reaches the child at once, and leaving lets it end by itself."""
    supervisor = Supervisor(work("write_down", tmp_path))
    with supervisor.running():
        assert until(lambda: lines(tmp_path) == ["born"])
        started = time.monotonic()
        supervisor.ring()
        assert until(lambda: "ring" in lines(tmp_path))
        assert time.monotonic() - started < 0.5
    assert lines(tmp_path) == ["born", "ring", "stop"]


def test_a_dead_child_is_replaced(tmp_path: Path) -> None:
    """A child that is killed is followed by another, which hears the bell."""
    supervisor = Supervisor(work("write_down", tmp_path))
    with supervisor.running():
        assert until(lambda: lines(tmp_path) == ["born"])
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        assert until(lambda: lines(tmp_path) == ["born", "born"])
        supervisor.ring()
        assert until(lambda: "ring" in lines(tmp_path))


def test_children_that_die_at_once_are_not_started_in_a_frenzy(tmp_path: Path) -> None:
    """The pauses between starts grow."""
    with Supervisor(work("die_at_once", tmp_path)).running():
        time.sleep(2)
    assert 1 <= len(list(tmp_path.iterdir())) <= 3


def test_who_was_drained_stays_away(tmp_path: Path) -> None:
    """A child that an operator sent away is not followed by another, and the supervisor ends as ever."""
    supervisor = Supervisor(work("be_drained", tmp_path))
    with supervisor.running():
        assert until(lambda: bool(list(tmp_path.iterdir())))
        time.sleep(1.5)  # the second child would come at once, the third a second later
        supervisor.ring()
    assert len(list(tmp_path.iterdir())) == 1


def test_who_was_struck_off_is_replaced(tmp_path: Path) -> None:
    """A child that left because nobody had heard of it for long, as after a night's sleep, is followed by another."""
    with Supervisor(work("be_struck_off", tmp_path)).running():
        assert until(lambda: len(list(tmp_path.iterdir())) == 2)


def test_who_does_not_end_is_killed(tmp_path: Path) -> None:
    """Draining has a limit."""
    started = time.monotonic()
    with Supervisor(work("hang", tmp_path), drain_seconds=0.2).running():
        assert until(lambda: bool(list(tmp_path.iterdir())))
    assert time.monotonic() - started < 20


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed takes its child along: the pipe ends."""
    code = (
        "from pathlib import Path; import time\n"
        "from tests.worker.children import work\n"
        "from worker.supervisor import Supervisor\n"
        f"with Supervisor(work('write_down', Path({str(tmp_path)!r}))).running(): time.sleep(60)\n"
    )
    script = tmp_path.parent / f"{tmp_path.name}.py"
    script.write_text(f"if __name__ == '__main__':\n    exec({code!r})\n")
    with subprocess.Popen([sys.executable, script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as parent:
        assert until(lambda: lines(tmp_path) == ["born"])
        parent.kill()
    assert until(lambda: lines(tmp_path) == ["born", "stop"])
