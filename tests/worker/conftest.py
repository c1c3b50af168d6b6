"""A tiny random bundle whose detector finds marked faces, and a house with a worker and a person in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from core import options
from core.backbone import Backbone, load_backbone
from tests.tiny_bundle import write_whole_bundle
from tests.worker.house import Darkroom, House, at_work, build


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log tracebacks as plain lines: with every local variable in colour they take longer than the tests."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture(scope="session", autouse=True)
def quick_presets() -> Iterator[None]:
    """Let the presets of a restoration have few steps: what is tested here is the way of a job, not its picture."""
    with pytest.MonkeyPatch.context() as patch:
        for name in options.PRESETS:  # within the table: other tests of the same session have it by its name
            patch.setitem(options._RESTORE_PRESETS, name, {"steps": 4})
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle on disk, with a detector."""
    return write_whole_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def backbone(tiny_folder: Path) -> Backbone:
    """The tiny bundle, loaded; no test may change it."""
    return load_backbone(tiny_folder)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An installation of the module's own."""
    made = build(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def room(house: House, tiny_folder: Path) -> Iterator[Darkroom]:
    """A worker that lives as long as the module."""
    with at_work(house, tiny_folder) as made:
        yield made


@pytest.fixture(scope="module")
def ada(house: House, room: Darkroom) -> str:
    """A person with two accepted photos and no adapter."""
    identity_id = house.identity()
    for seed in (1, 2):
        house.reference(identity_id, seed)
    room.work()
    return identity_id
