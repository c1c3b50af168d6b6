"""Erasures that take long, are broken off, or go on in two places: one receipt, and it counts all."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from sqlalchemy import func, select

from housekeeping import erasure
from housekeeping import outbox as errands
from housekeeping.outbox import Errands
from housekeeping.parts import Parts
from store import models, outbox
from store.errors import StorageDown
from store.outbox import Errand
from tests.housekeeping.conftest import Caretaking
from tests.worker.house import House

PHOTOS = 3


@dataclass
class Store:
    """What the object store does to the first that deletes: keeps them until told to go on, or does not answer."""

    tries: list[Errand] = field(default_factory=list)
    deleting: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    deletions: int = 0
    fails_at: int = 0  # the number of the deletion that fails; 0: none does


@pytest.fixture
def store(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that keeps whoever deletes first."""
    made, delete = Store(), house.safe.blobs.delete

    def slowly(name: str) -> None:
        made.deletions += 1
        if made.deletions == made.fails_at:
            raise StorageDown("got no answer, wanted one")
        if not made.deleting.is_set():
            made.deleting.set()
            assert made.go_on.wait(30)
        delete(name)

    def erase(parts: Parts, errand: Errand) -> bool:
        made.tries.append(errand)
        return erasure.erase(parts, errand)

    monkeypatch.setattr(house.safe.blobs, "delete", slowly)
    monkeypatch.setattr(errands, "_KINDS", {**errands._KINDS, "erase": erase})
    yield made
    made.go_on.set()


@pytest.fixture
def erasure_id(house: House) -> str:
    """The erasure of a person with some photos."""
    person = house.identity()
    for seed in range(PHOTOS):
        house.reference(person, seed)
    return house.erase(person)


def _begin(caretaking: Caretaking, store: Store) -> None:
    caretaking.errands.start_due()
    assert store.deleting.wait(10)


def _end(caretaking: Caretaking, store: Store, tries: int) -> None:
    store.go_on.set()
    caretaking.errands.finish()
    assert len(store.tries) == tries


def _assert_completed_once(house: House, erasure_id: str) -> None:
    row = house.row(models.Erasure, erasure_id)
    assert (row.state, row.receipt["destroyed"]["objects"], row.counts["objects"]) == ("completed", PHOTOS, PHOTOS)
    with house.desk.transaction(house.tenant_id, read_only=True) as session:
        told = select(func.count()).where(models.AuditEvent.action == "identity.erased")
        assert session.scalar(told) == 1


def test_a_long_erasure_is_held(
    house: House, caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch, store: Store, erasure_id: str
) -> None:
    """Of two caretakers the one that has an erasure under way keeps it, for longer than errands are hidden."""
    monkeypatch.setattr(outbox, "HIDDEN_SECONDS", 0.5)
    with closing(Errands(caretaking.parts, threads=2)) as elsewhere:
        _begin(caretaking, store)
        for _ in range(40):
            caretaking.errands.start_due()
            elsewhere.start_due()
            store.go_on.wait(0.04)
        store.go_on.set()
        caretaking.errands.finish()
    assert len(store.tries) == 1
    _assert_completed_once(house, erasure_id)


def test_what_is_under_way_is_not_begun_again(
    house: House, caretaking: Caretaking, monkeypatch: pytest.MonkeyPatch, store: Store, erasure_id: str
) -> None:
    """A caretaker that could not hold an erasure in time does not begin it beside itself."""
    monkeypatch.setattr(outbox, "HIDDEN_SECONDS", -1.0)  # always over
    _begin(caretaking, store)
    for _ in range(3):
        caretaking.errands.start_due()
    _end(caretaking, store, tries=1)
    _assert_completed_once(house, erasure_id)


def test_a_caretaker_that_froze(house: House, caretaking: Caretaking, store: Store, erasure_id: str) -> None:
    """An erasure that another caretaker took over meanwhile, and completed, is neither counted nor completed again."""
    _begin(caretaking, store)
    caretaking.hurry()
    with closing(Errands(caretaking.parts, threads=2)) as elsewhere:
        elsewhere.start_due()
        elsewhere.finish()
    _assert_completed_once(house, erasure_id)
    _end(caretaking, store, tries=2)
    _assert_completed_once(house, erasure_id)


def test_a_try_that_fails_is_counted(house: House, caretaking: Caretaking, store: Store, erasure_id: str) -> None:
    """Objects that were deleted before the store went away are in the receipt too."""
    store.go_on.set()
    store.fails_at = PHOTOS
    caretaking.errands_done()
    assert house.row(models.Erasure, erasure_id).state == "verifying"
    caretaking.hurry()
    caretaking.errands_done()
    assert len(store.tries) == 2
    _assert_completed_once(house, erasure_id)
