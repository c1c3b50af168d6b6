"""What every test runs under: no network beyond this machine, and long evidence that goes on where it stopped."""

import hashlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROVED = ROOT / ".work" / "proved.json"
_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(_LOCAL):
            raise OSError(f"got a connection to {address}, wanted tests that stay on this machine")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation as it is after its first start: to be copied, which is quicker than to migrate again."""
    from tests.worker.house import build  # here: most tests load no torch

    folder = tmp_path_factory.mktemp("empty") / "house"
    build(folder).close()
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long evidence that already passed on this very code."""
    if config.option.markexpr != "prove":
        return
    proved = set(_proved().get(_code(), []))
    done = [item for item in items if item.nodeid in proved]
    items[:] = [item for item in items if item.nodeid not in proved]
    config.hook.pytest_deselected(items=done)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember the long evidence that passed."""
    report: Any = yield
    if report.when == "call" and report.passed and item.get_closest_marker("prove"):
        proved = _proved().get(_code(), [])
        PROVED.parent.mkdir(exist_ok=True)
        PROVED.write_text(json.dumps({_code(): [*proved, item.nodeid]}, indent=1))
    return report


def _proved() -> dict[str, list[str]]:
    return json.loads(PROVED.read_text()) if PROVED.exists() else {}


def _code() -> str:
    """Return a digest of the tracked files as they lie here: other code, other evidence."""
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, check=True).stdout
    changed = subprocess.run(["git", "diff"], cwd=ROOT, capture_output=True, check=True).stdout
    return hashlib.sha256(listed + changed).hexdigest()
