"""The vault: what it sealed opens for its owner only, unchanged only, and never again once its key is destroyed."""

import os

import pytest

from store.errors import InsecureSettings, Shredded, Tampered
from store.models import DataKey
from store.safe import Safe
from store.vault import CHUNK_BYTES, OwnerKey, Vault, destroy_keys, sealed_size
from tests.store.archive import Archive

OLD, NEW = b"o" * 32, b"n" * 32


def _key(owner: str = "idn_1", tenant: str = "ten_1", secret: bytes = b"s" * 32) -> OwnerKey:
    return OwnerKey(tenant, owner, secret)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_sealed_bytes_open_again(size: int) -> None:
    """What was sealed opens, takes as many bytes as foretold, and shows nothing of itself."""
    data = os.urandom(size)
    sealed = b"".join(_key().seal("name", data))
    assert len(sealed) == sealed_size(size)
    assert _key().open("name", iter([sealed[:10], sealed[10:]])) == data
    assert size < 16 or data[:16] not in sealed


def test_equal_bytes_are_sealed_differently() -> None:
    """Nobody sees from outside that two objects are equal."""
    one, two = (b"".join(_key().seal("name", b"same")) for _ in range(2))
    assert one != two


@pytest.mark.parametrize("place", [0, 8, 30, CHUNK_BYTES + 50, -1])
def test_a_changed_bit_does_not_open(place: int) -> None:
    """One bit changed anywhere, in the header, a chunk or the last tag, and the object does not open."""
    sealed = bytearray(b"".join(_key().seal("name", os.urandom(CHUNK_BYTES + 100))))
    sealed[place] ^= 1
    with pytest.raises(Tampered):
        _key().open("name", iter([bytes(sealed)]))


def test_chunks_cannot_be_cut_swapped_or_moved() -> None:
    """Chunks left out at the end, exchanged, or taken from another object do not open."""
    header, *chunks = _key().seal("name", os.urandom(3 * CHUNK_BYTES))
    _, *others = _key().seal("name", os.urandom(3 * CHUNK_BYTES))
    forged = [chunks[:2], [chunks[1], chunks[0], chunks[2]], [*chunks[:2], others[2]], [*chunks, chunks[2]], []]
    for pieces in forged:
        with pytest.raises(Tampered):
            _key().open("name", iter([header, *pieces]))


@pytest.mark.parametrize("other", [_key(owner="idn_2"), _key(tenant="ten_2"), _key(secret=b"t" * 32)])
def test_another_owners_key_does_not_open(other: OwnerKey) -> None:
    """Tenant, owner and key are bound in: any other of them does not open the object."""
    sealed = b"".join(_key().seal("name", b"data"))
    with pytest.raises(Tampered):
        other.open("name", iter([sealed]))


def test_another_name_does_not_open() -> None:
    """The kind and the object's name are bound in."""
    sealed = b"".join(_key().seal("ten_1/idn_1/reference/a", b"data"))
    with pytest.raises(Tampered):
        _key().open("ten_1/idn_1/result/a", iter([sealed]))


def test_a_destroyed_key_takes_everything_with_it(archive: Archive) -> None:
    """When the owner's key is forgotten, its objects cannot be read, though they are still there."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        blob = archive.safe.put(session, tenant, "idn_1", "reference", "ref_1", b"a face")
        assert archive.safe.get(session, tenant, "idn_1", blob) == b"a face"
    with archive.api.transaction(tenant) as session:
        assert destroy_keys(session, tenant, ["idn_1", "idn_2"]) == 1
    with pytest.raises(Shredded), archive.api.transaction(tenant) as session:
        archive.safe.get(session, tenant, "idn_1", blob)
    assert [stored.name for stored in archive.safe.blobs.list(tenant)] == [blob]


def test_names_are_of_their_owner(archive: Archive) -> None:
    """An object is only read as what its name says it is."""
    with pytest.raises(Tampered, match="not of idn_1"):
        archive.safe.read(_key(), "ten_2/idn_1/reference/ref_1")


def test_a_new_root_key_takes_over(archive: Archive) -> None:
    """After a change of the root key, both open what the old one sealed; rewrapped, the new one does alone."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        blob = Safe(Vault([OLD]), archive.safe.blobs).put(session, tenant, "idn_1", "reference", "r", b"a face")
    with pytest.raises(InsecureSettings, match="root key"), archive.api.transaction(tenant) as session:
        Safe(Vault([NEW]), archive.safe.blobs).get(session, tenant, "idn_1", blob)
    with archive.api.transaction(tenant) as session:
        both = Vault([NEW, OLD])
        assert both.rewrap(session, tenant)
        assert not both.rewrap(session, tenant)
        assert Safe(Vault([NEW]), archive.safe.blobs).get(session, tenant, "idn_1", blob) == b"a face"


def test_a_data_key_moved_to_another_owner_does_not_open(archive: Archive) -> None:
    """A wrapped key is bound to its owner: copied into another row it opens nothing."""
    tenant = archive.tenant()
    with archive.api.transaction(tenant) as session:
        archive.safe.put(session, tenant, "idn_1", "reference", "r", b"a face")
        wrapped = session.get_one(DataKey, (tenant, "idn_1")).wrapped
        session.add(DataKey(tenant_id=tenant, owner_id="idn_2", wrapped=wrapped))
        session.flush()
        with pytest.raises(Tampered):
            archive.safe.key(session, tenant, "idn_2")


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b"short"]])
def test_root_keys_have_32_bytes(keys: list[bytes]) -> None:
    """A vault without whole root keys is refused."""
    with pytest.raises(InsecureSettings, match="32 bytes"):
        Vault(keys)
