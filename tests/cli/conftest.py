"""A whole tiny bundle on disk, photos to restore and to learn from, and commands run as a person types them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import bundles
from cli.app import main
from core.backbone import Backbone
from core.images import encode_photo
from core.options import _RESTORE_PRESETS, _TRAIN_PRESETS
from tests.tiny_bundle import photo_of, write_whole_bundle


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a detector of marks and a second recognizer."""
    return write_whole_bundle(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture(scope="session")
def _loaded() -> dict[str, Backbone]:
    return {}


@pytest.fixture
def run(
    bundle: Path,
    _loaded: dict[str, Backbone],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command on the tiny bundle, loaded once for all tests, with trainings of a few steps."""
    real = bundles.load

    def load(name: str, device: str = "auto") -> Backbone:
        if name not in _loaded:
            _loaded[name] = real(name, device)
        return _loaded[name]

    for module in ("cli.personalize", "cli.restore", "cli.demo", "cli.adapters"):
        monkeypatch.setattr(f"{module}.load", load)
    monkeypatch.setitem(_RESTORE_PRESETS, "fast", {"steps": 4, "gate": False})  # random networks ruin every face
    monkeypatch.setitem(_TRAIN_PRESETS, "fast", {"steps": 4, "batch_size": 2, "checkpoint_every": 2})

    def command(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, arguments), "--bundle", str(bundle)])
        captured = capsys.readouterr()
        code = stopped.value.code
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return command


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three reference photos of one face each."""
    folder = tmp_path_factory.mktemp("references")
    for i in range(3):
        (folder / f"{i}.png").write_bytes(encode_photo(photo_of((240, 160), seed=20 + i)))
    return folder


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with one face."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    path.write_bytes(encode_photo(photo_of((240, 160), seed=30)))
    return path


@pytest.fixture(scope="session")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with two faces."""
    path = tmp_path_factory.mktemp("group") / "group.png"
    path.write_bytes(encode_photo(photo_of((112, 176), (368, 176), seed=31)))
    return path


@pytest.fixture
def adapter(run: Run, references: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the person in the references, trained once for all tests."""
    path = tmp_path_factory.getbasetemp() / "trained" / "me.safetensors"
    if not path.exists():
        run("personalize", "--references", references, "-o", path, "--preset", "fast")
    return path
