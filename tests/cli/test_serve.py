"""Tests of `idprefer serve` as a process: the first start, the second, and Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.app import main
from tests.servers import free_port
from tests.tiny_bundle import write_whole_bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle."""
    return write_whole_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@contextmanager
def serving(data: Path, bundle: Path) -> Iterator[tuple[str, str]]:
    """Serve; yields the address and what was printed, and ends with Ctrl-C, in good order."""
    command = [sys.executable, "-m", "cli.app", "serve", "--data", str(data), "--bundle", str(bundle), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        printed = "".join(lines)
        address = re.search(r"studio +(http://[^/]+)/", printed)
        assert address, printed
        yield address.group(1).replace("localhost", "127.0.0.1"), printed
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def status(address: str, path: str, key: str = "") -> int:
    """Return the status of a GET."""
    request = urllib.request.Request(address + path, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_first_and_second_start(tmp_path: Path, bundle: Path) -> None:
    """The first start shows a key that administers everything, once; the second finds it all there."""
    with serving(tmp_path / "data", bundle) as (address, printed):
        key = re.findall(r"idr_live_\w+", printed)[0]
        assert status(address, "/readyz") == 200
        assert status(address, "/v1/admin/tenants", key) == 200
        assert status(address, "/v1/admin/tenants") == 401
    with serving(tmp_path / "data", bundle) as (address, printed):
        assert "idr_live_" not in printed
        assert status(address, "/v1/identities", key) == 200
    assert oct((tmp_path / "data" / "secrets.env").stat().st_mode)[-3:] == "600"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with exit code 2 and one line on stderr; return that line."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_port_that_is_taken(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that somebody listens at is one line that names it, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(["serve", "--data", str(tmp_path), "--bundle", str(bundle), "--port", port], capsys)
    assert port in line
    assert "--port" in line


def test_a_bundle_that_cannot_restore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle that is not there, or has no weights, is refused before anything is served."""
    port = str(free_port())
    assert "nowhere" in refused(["serve", "--data", str(tmp_path), "--bundle", "nowhere", "--port", port], capsys)
    assert "weights" in refused(["serve", "--data", str(tmp_path), "--bundle", "sdxl-shape", "--port", port], capsys)


def test_settings_that_are_not_fit_for_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In production, insecure settings are named, all of them at once."""
    for name in [name for name in os.environ if name.startswith("IDPREFER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IDPREFER_MODE", "production")
    line = refused(["worker"], capsys)
    assert all(name in line for name in ("DATABASE_URL", "SESSION_SECRET", "ROOT_KEYS"))
