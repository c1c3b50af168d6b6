"""An operator's drain, and a worker that was forgotten: both end it, and only the first for good."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete

from store import models, operators
from store.database import Database
from tests.worker.house import Darkroom, House, build, darkroom
from tests.worker.test_supervisor import until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An installation."""
    with closing(build(tmp_path_factory.mktemp("house"))) as made:
        yield made


@pytest.fixture
def room(house: House, tiny_folder: Path) -> Iterator[Darkroom]:
    """A worker that lives."""
    made = darkroom(house, tiny_folder, beat_seconds=0.1)
    with closing(made.parts.database), made.worker.alive():
        yield made


def test_drained_for_good(house: House, room: Darkroom) -> None:
    """A worker that is drained stops claiming, and says that nothing is to be started in its place."""
    database = Database(house.settings.database_url, role="operator")
    with closing(database), database.transaction(None) as session:
        operators.drain(session, room.parts.heart.worker_id)
    assert until(lambda: room.bell.stopped)
    assert room.bell.drained


def test_forgotten_and_started_anew(house: House, room: Darkroom) -> None:
    """A worker that was silent until it was struck off ends too, and is to be replaced."""
    with room.parts.database.transaction(None) as session:
        session.execute(delete(models.Worker).where(models.Worker.id == room.parts.heart.worker_id))
    assert until(lambda: room.bell.stopped)
    assert not room.bell.drained
