"""API keys: known by their text only, for as long as they live."""

import pytest
from sqlalchemy import update

from store import keys, operators
from store.columns import now
from store.errors import StateConflict
from store.models import ApiKey
from tests.store.archive import Archive


def _make(archive: Archive, tenant: str) -> tuple[ApiKey, str]:
    with archive.api.transaction(tenant) as session:
        return keys.create(session, tenant, "phone", ["identities:read"])


def _find(archive: Archive, token: str) -> ApiKey | None:
    with archive.api.transaction(None, read_only=True) as session:
        return keys.by_token(session, token)


def test_a_key_is_known_by_its_text(archive: Archive) -> None:
    """The text finds the key, its tenant and its scopes; the row does not hold the text's secret."""
    tenant = archive.tenant()
    row, token = _make(archive, tenant)
    found = _find(archive, token)
    assert found is not None
    assert (found.id, found.tenant_id, found.scopes) == (row.id, tenant, ["identities:read"])
    assert token.startswith("idr_live_")
    assert token.rpartition("_")[2] not in str(vars(row))


def test_a_wrong_text_finds_nothing(archive: Archive) -> None:
    """Another secret, another id, other shapes: nothing."""
    tenant = archive.tenant()
    _, token = _make(archive, tenant)
    _, other = _make(archive, tenant)
    mixed = "_".join([*token.split("_")[:3], other.split("_")[3]])
    for wrong in (token[:-1], token + "0", token.upper(), mixed, "idr_live__", "", "x" * 300):
        assert _find(archive, wrong) is None


def test_a_dead_key_finds_nothing(archive: Archive) -> None:
    """Revoked, expired, or of a suspended tenant: a key is as good as none."""
    tenant = archive.tenant()
    revoked, first = _make(archive, tenant)
    expired, second = _make(archive, tenant)
    _, third = _make(archive, tenant)
    with archive.api.transaction(tenant) as session:
        keys.revoke(session, session.get_one(ApiKey, (tenant, revoked.id)))
        session.execute(update(ApiKey).where(ApiKey.id == expired.id).values(expires_at=now(-1)))
    assert [_find(archive, token) is None for token in (first, second, third)] == [True, True, False]
    with archive.api.transaction(None) as session:
        operators.change(session, tenant, suspended=True)
    assert _find(archive, third) is None


def test_a_rotated_key_works_for_the_overlap(archive: Archive) -> None:
    """The successor has the same scopes; the old key works on for the overlap and no longer."""
    tenant = archive.tenant()
    old, token = _make(archive, tenant)
    with archive.api.transaction(tenant) as session:
        row, successor = keys.rotate(session, session.get_one(ApiKey, (tenant, old.id)), 60)
        assert (row.name, row.scopes) == (old.name, old.scopes)
    assert _find(archive, token) is not None
    assert _find(archive, successor) is not None
    with archive.api.transaction(tenant) as session:
        keys.rotate(session, session.get_one(ApiKey, (tenant, old.id)), 0)
    assert _find(archive, token) is None


@pytest.mark.parametrize(("name", "word"), [("expires_at", "expired"), ("revoked_at", "revoked")])
def test_a_dead_key_has_no_successor(archive: Archive, name: str, word: str) -> None:
    """A key that has expired or was revoked is not rotated: its successor would work no longer than it did."""
    tenant = archive.tenant()
    old, _ = _make(archive, tenant)
    with archive.api.transaction(tenant) as session:
        session.execute(update(ApiKey).where(ApiKey.id == old.id).values({name: now(-1)}))
    with archive.api.transaction(tenant) as session, pytest.raises(StateConflict, match=word):
        keys.rotate(session, session.get_one(ApiKey, (tenant, old.id)), 60)


def test_its_last_use_is_noted(archive: Archive) -> None:
    """When a key was last used is noted, once a minute at most."""
    tenant = archive.tenant()
    row, _ = _make(archive, tenant)
    moments = []
    for _ in range(2):
        with archive.api.transaction(tenant) as session:
            keys.seen(session, tenant, row.id)
        moments.append(archive.row(ApiKey, tenant, row.id).last_used_at)
    assert moments[0] is not None
    assert moments[0] == moments[1]
