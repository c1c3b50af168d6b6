"""Receivers that take all the time there is: what else is to be done does not wait for them, nor do other tenants'."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from housekeeping import outbox as errands
from housekeeping.parts import Parts
from store import models, outbox
from store.outbox import Errand
from tests.housekeeping.conftest import Caretaking
from tests.worker.house import House


@dataclass
class Tarpit:
    """Every delivery's receiver: it answers when the test is over, and knows who waits for it."""

    over: threading.Event = field(default_factory=threading.Event)
    waiting: Counter[str] = field(default_factory=Counter)

    def deliver(self, parts: Parts, errand: Errand) -> None:
        """Take a delivery, and keep it."""
        self.waiting[errand.tenant_id] += 1
        assert self.over.wait(30)


@pytest.fixture
def tarpit(monkeypatch: pytest.MonkeyPatch, caretaking: Caretaking) -> Iterator[Tarpit]:
    """A tarpit, which lets everybody go at the end."""
    made = Tarpit()
    monkeypatch.setattr(errands, "_KINDS", {**errands._KINDS, "delivery": made.deliver})
    yield made
    made.over.set()


def _flood(house: House, tenant_id: str, count: int) -> None:
    with house.desk.transaction(tenant_id) as session:
        for number in range(count):
            outbox.add(session, tenant_id, "delivery", {"id": f"dlv_{number}"}, in_seconds=-60)


def _rounds(caretaking: Caretaking, until: threading.Event, count: int = 40) -> None:
    """Take rounds as the caretaker's thread does, which waits for nothing."""
    for _ in range(count):
        caretaking.errands.start_due()
        until.wait(0.05)


def test_an_erasure_does_not_wait(house: House, caretaking: Caretaking, tarpit: Tarpit) -> None:
    """While a tenant's deliveries hang, more of them than there are threads, a person is erased, receipt and all."""
    _flood(house, house.tenant_id, 60)
    erasure_id = house.erase(house.identity())
    _rounds(caretaking, tarpit.over)
    assert house.row(models.Erasure, erasure_id).state == "completed"
    assert tarpit.waiting.total() > 0


def test_other_tenants_are_delivered_to(house: House, caretaking: Caretaking, tarpit: Tarpit) -> None:
    """A tenant has a few deliveries under way at a time: those of others begin, though they came later."""
    other = house.other_tenant()
    _flood(house, house.tenant_id, 60)
    _flood(house, other.tenant_id, 1)
    _rounds(caretaking, tarpit.over, 10)
    assert tarpit.waiting == {house.tenant_id: errands._AT_ONCE, other.tenant_id: 1}


def test_what_waits_has_its_turn(house: House, caretaking: Caretaking, tarpit: Tarpit) -> None:
    """When the receivers answer, all that waited is delivered."""
    _flood(house, house.tenant_id, 7)
    tarpit.over.set()
    assert caretaking.errands_done() == 7
