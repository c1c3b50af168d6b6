"""Tests of `idprefer serve` as a process: the first start, the second, and Ctrl-C."""

import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cli.app import main
from tests.servers import free_port
from tests.serving import serving
from tests.tiny_bundle import write_whole_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle."""
    return write_whole_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


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
    with serving(tmp_path / "data", bundle) as served:
        key = served.key
        assert status(served.address, "/readyz") == 200
        assert status(served.address, "/v1/admin/tenants", key) == 200
        assert status(served.address, "/v1/admin/tenants") == 401
    with serving(tmp_path / "data", bundle) as served:
        assert "idr_live_" not in served.printed
        assert status(served.address, "/v1/identities", key) == 200
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
