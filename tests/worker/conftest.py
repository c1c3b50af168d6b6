"""A tiny random bundle whose detector finds marked faces, and photos of people who do not exist."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from core import options
from core.backbone import Backbone, load_backbone
from core.images import Photo
from tests.marked_faces import marked
from tests.tiny_bundle import write_whole_bundle


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log tracebacks as plain lines: with every local variable in colour they take longer than the tests."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture(scope="session", autouse=True)
def quick_presets() -> Iterator[None]:
    """Let the presets of a restoration have few steps: what is tested here is the way of a job, not its picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "_RESTORE_PRESETS", {name: {"steps": 4} for name in options.PRESETS})
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle on disk, with a detector."""
    return write_whole_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def backbone(tiny_folder: Path) -> Backbone:
    """The tiny bundle, loaded; no test may change it."""
    return load_backbone(tiny_folder)


def photo(seed: int, *places: tuple[int, int]) -> Photo:
    """Return a photo of 256x256 noise with faces at the places, or one in its middle."""
    pixels = np.random.default_rng(seed).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    for x, y in places or ((128, 128),):
        pixels = marked(pixels, x, y)
    return Photo(pixels)
