"""Receivers, and a store, that take all the time there is: what else is to be done does not wait for them."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select

from housekeeping import outbox as errands
from housekeeping.parts import Parts
from store import models, outbox
from store.outbox import Errand
from tests.housekeeping.conftest import Caretaking
from tests.worker.house import House


@dataclass
class Tarpit:
    """Every delivery's receiver, and the store: they answer when the test is over, and know who waits for them."""

    over: threading.Event = field(default_factory=threading.Event)
    waiting: Counter[str] = field(default_factory=Counter)

    def keep(self, parts: Parts, errand: Errand) -> None:
        """Take an errand, and keep it."""
        self.waiting[errand.tenant_id] += 1
        assert self.over.wait(30)


@pytest.fixture
def tarpit(monkeypatch: pytest.MonkeyPatch, caretaking: Caretaking) -> Iterator[Tarpit]:
    """A tarpit, which lets everybody go at the end."""
    made = Tarpit()
    monkeypatch.setattr(errands, "_KINDS", {**errands._KINDS, "delivery": made.keep, "delete_blobs": made.keep})
    yield made
    made.over.set()


def _flood(house: House, tenant_id: str, count: int, kind: str = "delivery") -> None:
    with house.desk.transaction(tenant_id) as session:
        for number in range(count):
            outbox.add(session, tenant_id, kind, {"id": f"dlv_{number}"}, in_seconds=-60)


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


def test_webhooks_do_not_wait_for_the_store(house: House, caretaking: Caretaking, tarpit: Tarpit) -> None:
    """While two tenants' deletions hang in the object store, a third one's events are fanned out."""
    other, third = house.other_tenant(), house.other_tenant()
    for tenant_id in (house.tenant_id, other.tenant_id):
        _flood(house, tenant_id, 20, "delete_blobs")
    caretaking.errands.start_due()
    _flood(house, third.tenant_id, 1, "webhook")
    _rounds(caretaking, tarpit.over, 10)
    with caretaking.parts.database.transaction(None) as session:
        assert set(session.scalars(select(models.OutboxEvent.kind))) == {"delete_blobs"}
    assert set(tarpit.waiting) == {house.tenant_id, other.tenant_id}
