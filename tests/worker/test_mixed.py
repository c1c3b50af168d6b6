"""Two tenants on one device: whoever shares a batch with whom, everybody gets the face of the right person."""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import options
from core.adapter_file import pack_adapter, unpack_adapter
from core.backbone import Backbone
from core.images import read_photo
from core.restoration import PreparedFace, RestoredFace
from core.restoration import restore_faces as restore_for_real
from store import adapters, models
from store.adapter_bytes import checked
from tests.core.conftest import made_adapter
from tests.worker.house import Darkroom, House, at_work, build, photo
from worker import batches

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3600)]
PEOPLE = 8  # of two tenants
PHOTOS = 3
SEEDS = 2
CLOSE = 2  # levels of 255 by which a pixel may differ in a batch of another shape


@dataclass(frozen=True)
class Wish:
    """One restoration that may be asked for again and again."""

    house: House = field(compare=False)
    identity_id: str
    photo: int
    seed: int

    def ask(self) -> str:
        """Queue it; return the restoration."""
        return self.house.restoration(self.identity_id, picture=photo(100 + self.photo), seed=self.seed)

    def result(self, restoration_id: str) -> np.ndarray:
        """Return what came of it: by the person's own adapter, into rows and objects of the right tenant."""
        row = self.house.row(models.Restoration, restoration_id)
        (face,) = self.house.faces(restoration_id)
        assert self.house.job(row.job_id).state == "succeeded"
        assert face.evidence["tier"] == "personalized"
        return read_photo(self.house.blob(restoration_id, row.result_blob), limit_bytes=None).pixels


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[tuple[House, Darkroom]]:
    """A worker that takes up to eight at once, without the gate: it would hide what an adapter painted."""
    with pytest.MonkeyPatch.context() as patch, closing(build(tmp_path_factory.mktemp("house"))) as house:
        patch.setattr(options, "_RESTORE_PRESETS", {name: {"steps": 4, "gate": False} for name in options.PRESETS})
        with at_work(house, tiny_folder) as made:
            yield house, made


@pytest.fixture(scope="module")
def wishes(room: tuple[House, Darkroom], backbone: Backbone) -> list[Wish]:
    """Photos and seeds of eight people of two tenants, each with a strong adapter of their own."""
    house, worker = room
    tenants = [house, house.other_tenant()]
    people = [(tenants[n % 2], _person(tenants[n % 2], worker, backbone, n)) for n in range(PEOPLE)]
    return [Wish(*one, place, seed) for one in people for place in range(PHOTOS) for seed in range(SEEDS)]


def _person(house: House, room: Darkroom, backbone: Backbone, number: int) -> str:
    """Enrol a person, whose adapter's weights are as strong as a long training makes them."""
    identity_id = house.identity()
    house.reference(identity_id, 1 + number)
    room.work()
    job_id = house.training(identity_id, preset="fast", steps=1)
    room.work()
    trained = unpack_adapter(house.adapter_of(job_id)[1], backbone)
    strong = replace(trained, lora=made_adapter(backbone, number).lora)
    with house.desk.transaction(house.tenant_id) as session:
        identity = session.get_one(models.Identity, {"tenant_id": house.tenant_id, "id": identity_id})
        adapters.activate(session, adapters.bring(session, house.safe, identity, checked(pack_adapter(strong))))
    return identity_id


@pytest.fixture(scope="module")
def alone(room: tuple[House, Darkroom], wishes: list[Wish]) -> dict[Wish, np.ndarray]:
    """What each wish gives when nobody else is there."""
    results = {}
    for wish in wishes:
        restoration_id = wish.ask()
        assert room[1].work() == 1
        results[wish] = wish.result(restoration_id)
    return results


@pytest.fixture
def mixtures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many people's adapters each batch meanwhile has."""
    counts: list[int] = []

    def counted(backbone: Backbone, faces: Sequence[PreparedFace], *args: Any, **kwargs: Any) -> list[RestoredFace]:
        counts.append(len({id(face.wish.person.adapter) for face in faces if face.wish.person}))
        return restore_for_real(backbone, faces, *args, **kwargs)

    monkeypatch.setattr(batches, "restore_faces", counted)
    return counts


def mix(room: Darkroom, alone: dict[Wish, np.ndarray], count: int, chance: random.Random) -> int:
    """Restore so many wishes in batches of random people; return by how much a pixel differs at most."""
    worst, left = 0, count
    while left:
        asked = [(wish, wish.ask()) for wish in chance.choices(list(alone), k=min(left, chance.randint(2, 24)))]
        room.work()
        for wish, restoration_id in asked:
            difference = wish.result(restoration_id).astype(int) - alone[wish]
            worst = max(worst, int(np.abs(difference).max()))
        left -= len(asked)
    return worst


def test_people_differ(alone: dict[Wish, np.ndarray]) -> None:
    """Of one photo and seed, any two people's results are far apart: a wrong person's would be seen."""
    for one, result in alone.items():
        for other, their_result in alone.items():
            same_photo = (one.photo, one.seed) == (other.photo, other.seed)
            if same_photo and one.identity_id != other.identity_id:
                assert np.abs(result.astype(int) - their_result).max() > 20 * CLOSE


def test_five_hundred_interleaved(
    room: tuple[House, Darkroom], alone: dict[Wish, np.ndarray], mixtures: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Five hundred restorations in mixed batches come out as they do alone: never a pixel of the wrong person."""
    worst = mix(room[1], alone, 500, random.Random(500))
    with capsys.disabled():
        print(  # noqa: T201 -- the figures are what this is for
            f"\n500 restorations in {len(mixtures)} batches, {np.mean(mixtures):.1f} people in each, at most "
            f"{max(mixtures)}; a pixel differs by {worst} of 255 at most"
        )
    assert worst <= CLOSE
    assert sum(count > 1 for count in mixtures) > len(mixtures) / 2
