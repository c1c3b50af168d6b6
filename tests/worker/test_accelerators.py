"""Tests of taking accelerators: a machine's tool that lists them is stood in for, the locks and processes are real."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from worker.accelerators import take_one

ROOT = Path(__file__).parents[2]
TAKE = """
import os, sys
from pathlib import Path
from worker.accelerators import NoAcceleratorFree, take_one
try:
    print(take_one(Path(sys.argv[1])), os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
except NoAcceleratorFree as error:
    print(error, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that lists two accelerators; returns the folder of its locks."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nprintf 'GPU-one\\nGPU-two\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "locks"


@contextmanager
def worker(folder: Path) -> Iterator[str]:
    """Run a process that takes one and keeps it; yields what it said."""
    command = [sys.executable, "-c", TAKE, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_each_process_has_one(machine: Path) -> None:
    """Two workers have one each, a third is told, and one that was killed leaves its own to the next."""
    with ExitStack() as others, worker(machine) as first:
        with worker(machine) as second:
            assert {first, second} == {"GPU-one GPU-one", "GPU-two GPU-two"}
            assert "got 2 accelerators" in others.enter_context(worker(machine))
        assert others.enter_context(worker(machine)) == second


def test_nothing_to_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, or without accelerators, a worker takes none and is not hindered."""
    assert take_one(None) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert take_one(tmp_path / "locks") is None
