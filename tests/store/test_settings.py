"""Settings: complete by themselves on one's own machine, refused in production where they are weak."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from store.blobs import LocalBlobs
from store.blobs_of import open_blobs
from store.errors import InsecureSettings
from store.s3 import S3Blobs
from store.settings import check_production, load

GOOD = {
    "MODE": "production",
    "DATABASE_URL": "postgresql+psycopg://api@db/idprefer",
    "SESSION_SECRET": "s" * 40,
    "ROOT_KEYS": base64.b64encode(b"k" * 32).decode(),
    "S3_ENDPOINT": "127.0.0.1:9000",
    "S3_SECRET_KEY": "a secret of our own",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment fit for production, to be spoilt."""
    for name, value in GOOD.items():
        monkeypatch.setenv(f"IDPREFER_{name}", value)
    return monkeypatch


def test_the_embedded_default_needs_nothing(tmp_path: Path) -> None:
    """On the first start secrets are made, for this user's eyes only; the second start finds the same."""
    first, second = load(tmp_path / "data"), load(tmp_path / "data")
    assert first.root_key_list() == second.root_key_list()
    assert first.session_secret.get_secret_value() == second.session_secret.get_secret_value()
    assert first.database_url == f"sqlite:///{tmp_path / 'data' / 'idprefer.sqlite3'}"
    assert stat.S_IMODE((tmp_path / "data" / "secrets.env").stat().st_mode) == 0o600
    assert isinstance(open_blobs(first), LocalBlobs)
    assert load(tmp_path / "other").root_key_list() != first.root_key_list()


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    """Of several first starts at the same moment all find the same secrets, and nothing else is left behind."""
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load(tmp_path / "data").root_key_list(), range(8)))
    assert all(keys == loaded[0] for keys in loaded)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secrets.env"]


def test_production_reads_the_environment(environment: pytest.MonkeyPatch) -> None:
    """Whole settings are accepted, and name an S3 API."""
    settings = load()
    assert settings.root_key_list() == [b"k" * 32]
    blobs = open_blobs(settings)
    assert isinstance(blobs, S3Blobs)
    blobs.close()
    assert "k" * 8 not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "sqlite:///x.sqlite3"),
        ("SESSION_SECRET", "changeme"),
        ("ROOT_KEYS", ""),
        ("ROOT_KEYS", "not base64, but of some length!!"),
        ("S3_SECRET_KEY", "minioadmin"),
    ],
)
def test_production_refuses_what_is_weak(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Each weak setting is named, with what is wanted instead."""
    environment.setenv(f"IDPREFER_{name}", value)
    with pytest.raises(InsecureSettings, match=f"IDPREFER_{name}"):
        load()


def test_embedded_settings_are_not_for_production(tmp_path: Path) -> None:
    """The embedded default itself does not pass for production."""
    with pytest.raises(InsecureSettings, match="row-level security"):
        check_production(load(tmp_path))
