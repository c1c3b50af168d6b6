"""The outbox: what waits for somebody else is claimed apart, and no tenant takes more than its part."""

from concurrent.futures import ThreadPoolExecutor

import pytest

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


def _under_way(tenant: str, count: int) -> dict[str, str]:
    return {f"obx_{number}": tenant for number in range(count)}


@pytest.mark.parametrize(
    ("lane", "kind"), [("deliveries", "delivery"), ("deletions", "delete_blobs"), ("others", "expire")]
)
def test_lanes_are_claimed_apart(archive: Archive, lane: outbox.Lane, kind: str) -> None:
    """However many errands of other lanes have been due for longer, the next of a lane is one of its own."""
    tenant = archive.tenant()
    for other in {"delivery", "delete_blobs", "expire"} - {kind}:
        _leave(archive, tenant, other, 30)
    _leave(archive, tenant, kind)
    assert [errand.kind for errand in _claim(archive, Wanted(5, lane))] == [kind]
    assert _claim(archive, Wanted(5, lane)) == []


def test_an_erasure_is_a_deletion(archive: Archive) -> None:
    """Erasures wait for the object store too, and are claimed with what does."""
    tenant = archive.tenant()
    _leave(archive, tenant, "erase")
    assert _claim(archive, Wanted(5, "others")) == []
    assert [errand.kind for errand in _claim(archive, Wanted(5, "deletions"))] == ["erase"]


def test_who_has_least_under_way_comes_first(archive: Archive) -> None:
    """Where there is room for one more, it is that of a tenant that has none, though others wait for longer."""
    flood, other = archive.tenant("flood"), archive.tenant("other")
    _leave(archive, flood, "delete_blobs", 10)
    _leave(archive, other, "delete_blobs", 3)
    (taken,) = _claim(archive, Wanted(1, "deletions", per_tenant=4, under_way=_under_way(flood, 3)))
    assert taken.tenant_id == other


def test_a_tenant_takes_no_more_than_its_part(archive: Archive) -> None:
    """Of one tenant so many are taken at a time, those that are under way among them; the longest due go first."""
    flood, other = archive.tenant("flood"), archive.tenant("other")
    _leave(archive, flood, "delivery", 10)
    _leave(archive, other, "delivery")
    taken = _claim(archive, Wanted(10, "deliveries", per_tenant=3, under_way=_under_way(flood, 1)))
    assert sorted(errand.payload["id"] for errand in taken if errand.tenant_id == flood) == ["0", "1"]
    assert [errand.payload["id"] for errand in taken if errand.tenant_id == other] == ["0"]
    full = Wanted(10, "deliveries", per_tenant=3, under_way=_under_way(flood, 3))
    with archive.of(None) as session:
        assert not outbox.due(session, full)
        assert outbox.due(session, Wanted(10, "deliveries", per_tenant=3))
    assert _claim(archive, full) == []


def test_nothing_is_claimed_twice(archive: Archive) -> None:
    """Of several that claim at the same time each gets others."""
    tenant = archive.tenant()
    _leave(archive, tenant, "expire", 40)
    with ThreadPoolExecutor(4) as pool:
        taken = [errand.id for found in pool.map(_claim, [archive] * 8, [Wanted(10)] * 8) for errand in found]
    taken += [errand.id for errand in _claim(archive, Wanted(40))]  # what was locked by another just then is left over
    assert len(taken) == len(set(taken)) == 40


def test_who_holds_an_errand_keeps_it(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """An errand that takes long is taken by nobody else while it is held, over and over."""
    _leave(archive, archive.tenant(), "erase")
    monkeypatch.setattr(outbox, "HIDDEN_SECONDS", -1.0)
    (errand,) = _claim(archive, Wanted(1))
    monkeypatch.undo()
    for _ in range(2):
        with archive.of(None) as session:
            before, errand = errand, outbox.hold(session, errand)
            assert errand.hidden_until > before.hidden_until
            assert outbox.is_ours(session, errand)
        assert _claim(archive, Wanted(1)) == []


def test_who_wakes_late_leaves_an_errand_to_the_next(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was frozen while another took the errand over neither puts it off nor forgets it."""
    _leave(archive, archive.tenant(), "erase")
    monkeypatch.setattr(outbox, "HIDDEN_SECONDS", -1.0)
    (frozen,) = _claim(archive, Wanted(1))
    monkeypatch.undo()
    (at_it,) = _claim(archive, Wanted(1))
    with archive.of(None) as session:
        outbox.later(session, frozen, -1)
        outbox.done(session, frozen)
    assert _claim(archive, Wanted(1)) == []
    with archive.of(None) as session:
        assert outbox.hold(session, at_it).hidden_until > at_it.hidden_until
        outbox.done(session, at_it)
        assert not outbox.is_ours(session, at_it)


def test_what_was_put_off_is_not_held(archive: Archive) -> None:
    """Who holds an errand that has just been put off does not keep it from its moment."""
    _leave(archive, archive.tenant(), "erase")
    (errand,) = _claim(archive, Wanted(1))
    with archive.of(None) as session:
        outbox.later(session, errand, -1)
        assert outbox.hold(session, errand) == errand
    (again,) = _claim(archive, Wanted(1))
    assert again.id == errand.id
    with archive.of(None) as session:
        assert outbox.is_ours(session, again)
        assert not outbox.is_ours(session, errand)


def test_what_is_under_way_is_not_claimed_again(archive: Archive) -> None:
    """An errand that became due again while it is being done is not given to whoever does it."""
    tenant = archive.tenant()
    _leave(archive, tenant, "erase")
    (errand,) = _claim(archive, Wanted(1))
    with archive.of(None) as session:
        outbox.later(session, errand, -1)
    assert _claim(archive, Wanted(2, under_way={errand.id: tenant})) == []
    assert len(_claim(archive, Wanted(2, under_way={"obx_another": tenant}))) == 1
