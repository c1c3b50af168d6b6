"""The outbox: deliveries are claimed apart from all else, and no tenant takes more than its part."""

from concurrent.futures import ThreadPoolExecutor

from store import outbox
from store.outbox import Wanted
from tests.store.archive import Archive


def _leave(archive: Archive, tenant: str, kind: str, count: int = 1) -> None:
    with archive.api.transaction(tenant) as session:
        for number in range(count):
            outbox.add(session, tenant, kind, {"id": str(number)}, in_seconds=number - 1000.0)


def _claim(archive: Archive, wanted: Wanted) -> list[outbox.Errand]:
    with archive.of(None) as session:
        return outbox.claim(session, wanted)


def test_deliveries_are_claimed_apart(archive: Archive) -> None:
    """However many deliveries are due, an erasure that came last is the next of all else; and the other way round."""
    tenant = archive.tenant()
    _leave(archive, tenant, "delivery", 30)
    _leave(archive, tenant, "erase")
    assert [errand.kind for errand in _claim(archive, Wanted(5))] == ["erase"]
    assert [errand.kind for errand in _claim(archive, Wanted(5, deliveries=True))] == ["delivery"] * 5


def test_a_tenant_takes_no_more_than_its_part(archive: Archive) -> None:
    """Of one tenant so many are taken at a time, those that are under way among them; the longest due go first."""
    flood, other = archive.tenant("flood"), archive.tenant("other")
    _leave(archive, flood, "delivery", 10)
    _leave(archive, other, "delivery")
    taken = _claim(archive, Wanted(10, True, per_tenant=3, under_way={flood: 1}))
    assert sorted(errand.payload["id"] for errand in taken if errand.tenant_id == flood) == ["0", "1"]
    assert [errand.payload["id"] for errand in taken if errand.tenant_id == other] == ["0"]
    full = Wanted(10, True, per_tenant=3, under_way={flood: 3})
    with archive.of(None) as session:
        assert not outbox.due(session, full)
        assert outbox.due(session, Wanted(10, True, per_tenant=3))
    assert _claim(archive, full) == []


def test_nothing_is_claimed_twice(archive: Archive) -> None:
    """Of several that claim at the same time each gets others."""
    tenant = archive.tenant()
    _leave(archive, tenant, "expire", 40)
    with ThreadPoolExecutor(4) as pool:
        taken = [errand.id for found in pool.map(_claim, [archive] * 8, [Wanted(10)] * 8) for errand in found]
    taken += [errand.id for errand in _claim(archive, Wanted(40))]  # what was locked by another just then is left over
    assert len(taken) == len(set(taken)) == 40
