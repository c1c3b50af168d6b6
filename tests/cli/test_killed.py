"""Long evidence: real processes killed in the middle leave nothing half-written, and go on to the same end."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.personalize import checkpoint_path

ROOT = Path(__file__).parents[2]


def command(references: Path, output: Path, bundle: Path, *more: str) -> list[str]:
    """Return the command line of a personalization."""
    options = ["--references", str(references), "-o", str(output), "--preset", "fast", "--bundle", str(bundle)]
    return [sys.executable, "-m", "cli.app", "personalize", *options, *more]


def killed_once_started(arguments: list[str], checkpoint: Path) -> None:
    """Start a process and kill it the moment its next checkpoint has been written."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_killed_twice_and_resumed(bundle: Path, references: Path, tmp_path: Path) -> None:
    """A whole training killed twice by SIGKILL and resumed ends with the file of an undisturbed one."""
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    subprocess.run(command(references, whole, bundle), cwd=ROOT, check=True, capture_output=True)
    for more in ((), ("--resume",)):
        killed_once_started(command(references, broken, bundle, *more), checkpoint_path(broken))
        assert not broken.exists()
        assert {path.name for path in tmp_path.glob("*.safetensors")} == {whole.name, checkpoint_path(broken).name}
    subprocess.run(command(references, broken, bundle, "--resume"), cwd=ROOT, check=True, capture_output=True)
    assert broken.read_bytes() == whole.read_bytes()


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [1.0, 4.0, 7.0, 10.0])
def test_killed_restoration_leaves_no_half_file(bundle: Path, photo: Path, tmp_path: Path, seconds: float) -> None:
    """Killed at any moment, a restoration has left a whole file or none under its name."""
    output = tmp_path / "out.png"
    arguments = [sys.executable, "-m", "cli.app", "restore", str(photo), "-o", str(output), "--bundle", str(bundle)]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists() or output.read_bytes().endswith(b"IEND\xaeB`\x82")
