"""Adapters: brought back only when whole and fitting, used by one person only, deleted for good."""

import json

import numpy as np
import pytest
from sqlalchemy import select

from store import adapters, ledger, models, workers
from store.adapter_bytes import FORMAT, checked, read_label
from store.errors import AdapterMismatch, DamagedAdapter, Fenced, StateConflict
from store.models import Adapter, Eviction, Identity
from tests.store.archive import Archive
from tests.store.built import LABEL, adapter_bytes, publish


def _bring(archive: Archive, tenant: str, person: str, data: bytes) -> Adapter:
    with archive.api.transaction(tenant) as session:
        return adapters.bring(session, archive.safe, session.get_one(Identity, (tenant, person)), checked(data))


def test_a_whole_file_says_what_it_is() -> None:
    """An adapter as this service writes it is read up to its label."""
    label = read_label(adapter_bytes())
    assert (label.bundle, label.base_digest, label.options) == ("tiny", "base-1", {"rank": 16})


def _header(label: str = json.dumps(LABEL), **changes: object) -> bytes:
    """Return an adapter's bytes with another label, or another entry for its one tensor."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    text = json.dumps({"__metadata__": {FORMAT: label}, "lora.up": entry}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


_DAMAGED = {
    "nothing": b"",
    "noise": b"\x93NUMPY" + bytes(100),
    "a header longer than the file": (2**40).to_bytes(8, "little") + b"{}",
    "a header that is no JSON": (4).to_bytes(8, "little") + b"{{{{",
    "a header that is a list": (2).to_bytes(8, "little") + b"[]",
    "no metadata": (2).to_bytes(8, "little") + b"{}",
    "a file cut short": adapter_bytes()[:-1],
    "bytes after the end": adapter_bytes() + b"x",
    "a tensor of another part": adapter_bytes(other=np.ones(2, np.float32)),
    "a tensor of another type": adapter_bytes(**{"lora.up": np.ones(2, np.int64)}),
    "numbers that are not finite": adapter_bytes(**{"lora.up": np.array([1, np.nan], np.float16)}),
    "references that are no embeddings": adapter_bytes(**{"references.first": np.full((1, 2), 3.0, np.float32)}),
    "references without rows": adapter_bytes(**{"references.first": np.ones(2, np.float32)}),
    "a label with a number beyond all": adapter_bytes({**LABEL, "training": {"held_out_identity": 10**400}}),
    "a label with a fraction beyond all": _header(json.dumps(LABEL)[:-1] + ', "training": 1e999}'),
    "a gap": _header(data_offsets=[1, 8]),
    "another shape": _header(shape=[3]),
    "a shape that is none": _header(shape=[-2]),
    "a shape of text": _header(shape="2"),
    "offsets that are none": _header(data_offsets=["0", "8"]),
    "a label that is a list": adapter_bytes([1]),
    "a label without a base": adapter_bytes({"bundle": "tiny"}),
    "a label of numbers": adapter_bytes({"bundle": 1, "base_digest": 2, "options": 3}),
}


@pytest.mark.parametrize("damage", _DAMAGED)
def test_a_damaged_file_is_refused(damage: str) -> None:
    """Whatever is wrong with a file is said before anything loads it."""
    with pytest.raises(DamagedAdapter, match="wanted"):
        read_label(_DAMAGED[damage])


def test_an_adapter_comes_back(archive: Archive) -> None:
    """A brought adapter is kept sealed, is read back to the byte, and is used once it is activated."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    row = _bring(archive, tenant, person, adapter_bytes())
    assert (row.state, row.bundle_digest) == ("ready", "base-1")
    with archive.api.transaction(tenant) as session:
        again = session.get_one(Adapter, (tenant, row.id))
        assert adapters.read(session, archive.safe, again) == adapter_bytes()
        adapters.activate(session, again)
        assert again.state == "active"
    assert archive.row(Identity, tenant, person).active_adapter_id == row.id


def test_an_adapter_of_another_base_is_a_mismatch(archive: Archive) -> None:
    """Where the workers' base is known, an adapter for another one is refused, and so is a restoration with it."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    publish(archive, archive.claim("train")[0])
    with archive.of(None) as session:
        workers.register(session, "cpu", "other", {"base_digest": "base-2"})
    with pytest.raises(AdapterMismatch, match="wanted base-2"):
        _bring(archive, tenant, person, adapter_bytes())
    with pytest.raises(AdapterMismatch):
        archive.restoration(tenant, person)
    archive.restoration(tenant, person, tier="instant")


def test_an_adapter_that_is_being_trained_stays(archive: Archive) -> None:
    """An adapter without a file can be neither activated nor deleted while its job runs."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    with archive.api.transaction(tenant) as session:
        row = session.scalars(select(Adapter)).one()
        for deed in (adapters.activate, adapters.remove):
            with pytest.raises(StateConflict):
                deed(session, row)


def test_a_deleted_adapter_leaves_workers_and_storage(archive: Archive) -> None:
    """A deleted adapter is a tombstone; its object is to be deleted, and workers are to drop it."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    row = publish(archive, archive.claim("train")[0])
    with archive.api.transaction(tenant) as session:
        adapters.remove(session, session.get_one(Adapter, (tenant, row.id)))
    assert archive.row(Adapter, tenant, row.id).state == "deleted"
    assert archive.row(Identity, tenant, person).state == "ready"
    with archive.of(None) as session:
        assert [eviction.owner_id for eviction in session.scalars(select(Eviction))] == [row.id]
        prefixes = [
            e.payload["prefix"] for e in session.scalars(select(models.OutboxEvent)) if e.kind == "delete_blobs"
        ]
    assert prefixes == [row.blob]


def test_a_stale_worker_publishes_no_adapter(archive: Archive) -> None:
    """An adapter is published with the job's end or not at all."""
    tenant = archive.tenant()
    person = archive.person(tenant)
    archive.training(tenant, person)
    claim = archive.claim("train")[0]
    with archive.of(None) as session:
        ledger.release(session, claim.lease)
    with pytest.raises(Fenced):
        publish(archive, claim)
    assert archive.row(Identity, tenant, person).active_adapter_id is None
    assert archive.row(Adapter, tenant, claim.adapter_id or "").blob is None
