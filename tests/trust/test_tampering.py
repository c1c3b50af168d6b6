"""One changed byte anywhere is found and named; a backup brings nobody back."""

import base64
import json
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.audit import erase_again
from store import audit, receipts
from store.settings import load
from tests.housekeeping.conftest import Caretaking, caretaking_of
from tests.worker.house import House, build, furnish


@dataclass(frozen=True)
class Site:
    """An installation with somebody in it, somebody erased, and an audit log."""

    house: House
    folder: Path
    caretaking: Caretaking
    person: str
    erased: str

    def sql(self, statement: str, *values: object) -> None:
        """Write past the service."""
        with closing(sqlite3.connect(self.folder / "idprefer.sqlite3")) as connection, connection:
            changed = connection.execute(statement, values).rowcount
        assert changed == 1, statement

    def blob(self, prefix: str) -> Path:
        """Return the file of the first object whose name begins so."""
        name = next(stored.name for stored in self.house.safe.blobs.list(prefix))
        return self.folder / "blobs" / name

    def verified(self) -> tuple[int, str]:
        """Return what the command says, as an operator runs it."""
        result = CliRunner().invoke(app, ["admin", "verify-audit", "--objects", "--data", str(self.folder)])
        return result.exit_code, result.output


@pytest.fixture
def site(empty: Path, tmp_path: Path) -> Iterator[Site]:
    """An installation of the test's own."""
    folder = tmp_path / "house"
    house = furnish(load(shutil.copytree(empty, folder)))
    person, erased = house.identity(), house.identity()
    for identity_id in (person, erased):
        house.reference(identity_id, 1)
    for number in range(3):
        with house.desk.transaction(house.tenant_id) as session:
            audit.record(session, house.tenant_id, "key_1", "identity.created", f"idn_{number}", purposes=["train"])
    with caretaking_of(house) as caretaking:
        yield Site(house, folder, caretaking, person, erased)
    house.close()


def _erase(site: Site) -> str:
    erasure_id = site.house.erase(site.erased)
    site.caretaking.errands_done()
    return erasure_id


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_nothing_was_changed(site: Site) -> None:
    """As it was written everything is in order."""
    _erase(site)
    assert site.verified() == (
        0, "Nothing was changed (audit logs, receipts, erasure ledger, data keys, objects).\n",
    )  # fmt: skip


def _in_an_object(site: Site) -> str:
    path = site.blob(f"{site.house.tenant_id}/{site.person}/")
    _flip(path, path.stat().st_size // 2)
    return str(path.relative_to(site.folder / "blobs"))


def _at_an_objects_end(site: Site) -> str:
    path = site.blob(f"{site.house.tenant_id}/{site.person}/")
    path.write_bytes(path.read_bytes()[:-1])
    return str(path.relative_to(site.folder / "blobs"))


def _in_an_objects_head(site: Site) -> str:
    path = site.blob(f"{site.house.tenant_id}/{site.person}/")
    _flip(path, 8)
    return str(path.relative_to(site.folder / "blobs"))


def _in_the_audit_log(column: str, value: str) -> Callable[[Site], str]:
    def change(site: Site) -> str:
        site.sql(f"UPDATE audit_events SET {column} = ? WHERE sequence = 2", value)
        return f"the audit log of {site.house.tenant_id} is broken at event 2"

    return change


def _at_the_audit_logs_end(site: Site) -> str:
    site.sql("DELETE FROM audit_events WHERE sequence = (SELECT max(sequence) FROM audit_events)")
    return f"the audit log of {site.house.tenant_id} is broken at event"


def _in_the_head_of_the_audit_log(site: Site) -> str:
    site.sql("UPDATE audit_heads SET hash = 'x' || substr(hash, 2) WHERE tenant_id = ?", site.house.tenant_id)
    return f"the audit log of {site.house.tenant_id} is broken at event"


def _in_a_receipt(site: Site) -> str:
    with closing(sqlite3.connect(site.folder / "idprefer.sqlite3")) as connection:
        ((row_id, text),) = connection.execute("SELECT id, receipt FROM erasures").fetchall()
    receipt = json.loads(text)
    receipt["destroyed"]["objects"] += 1
    site.sql("UPDATE erasures SET receipt = ?", json.dumps(receipt))
    return f"the receipt of {row_id}"


def _in_the_erasure_ledger(site: Site) -> str:
    path = site.blob("_erasures/")
    _flip(path, path.read_bytes().index(b"ten_") + 8)
    return f"the erasure ledger's line _erasures/{site.house.tenant_id}/{site.erased}"


def _in_a_data_key(site: Site) -> str:
    with closing(sqlite3.connect(site.folder / "idprefer.sqlite3")) as connection:
        (wrapped,) = connection.execute("SELECT wrapped FROM data_keys WHERE owner_id = ?", (site.person,)).fetchone()
    changed = wrapped[:20] + struct.pack("B", wrapped[20] ^ 1) + wrapped[21:]
    site.sql("UPDATE data_keys SET wrapped = ? WHERE owner_id = ?", changed, site.person)
    return f"the data key of {site.person}"


CHANGES: dict[str, Callable[[Site], str]] = {
    "a byte of an object": _in_an_object,
    "the end of an object": _at_an_objects_end,
    "the salt of an object": _in_an_objects_head,
    "an action in the audit log": _in_the_audit_log("action", "identity.createe"),
    "an actor in the audit log": _in_the_audit_log("actor", "key_2"),
    "a target in the audit log": _in_the_audit_log("target", "idn_9"),
    "details in the audit log": _in_the_audit_log("details", '{"purposes": ["trainn"]}'),
    "a hash in the audit log": _in_the_audit_log("hash", "f" * 64),
    "the last event of the audit log": _at_the_audit_logs_end,
    "the head of the audit log": _in_the_head_of_the_audit_log,
    "a receipt": _in_a_receipt,
    "a line of the erasure ledger": _in_the_erasure_ledger,
    "a data key": _in_a_data_key,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_found_and_named(site: Site, what: str) -> None:
    """The command ends with 1 and says where."""
    _erase(site)
    named = CHANGES[what](site)
    code, said = site.verified()
    assert code == 1
    assert named in said


def test_a_receipt_of_somebody_elses_key(site: Site, tmp_path: Path) -> None:
    """A receipt that is whole, but signed by a key that was never ours, is no receipt of ours."""
    _erase(site)
    other = build(tmp_path / "other")
    with closing(sqlite3.connect(site.folder / "idprefer.sqlite3")) as connection:
        (text,) = connection.execute("SELECT receipt FROM erasures").fetchone()
    told = {name: value for name, value in json.loads(text).items() if name != "signature"}
    forged = receipts.signed(other.safe.vault, told)
    assert receipts.is_genuine(forged)
    site.sql("UPDATE erasures SET receipt = ?", json.dumps(forged))
    assert "the receipt of" in site.verified()[1]
    other.close()


def test_a_backup_brings_nobody_back(site: Site) -> None:
    """A database from before an erasure holds the person again; before anybody is served, it is done again."""
    database = site.folder / "idprefer.sqlite3"
    with closing(sqlite3.connect(database)) as connection, closing(sqlite3.connect(site.folder / "backup")) as backup:
        connection.backup(backup)
    objects = shutil.copytree(site.folder / "blobs" / site.house.tenant_id, site.folder / "objects of before")
    _erase(site)
    with closing(sqlite3.connect(site.folder / "backup")) as backup, closing(sqlite3.connect(database)) as connection:
        backup.backup(connection)
    shutil.copytree(objects, site.folder / "blobs" / site.house.tenant_id, dirs_exist_ok=True)
    assert site.house.blobs() != []
    erase_again(load(site.folder), "ledger")
    with closing(sqlite3.connect(database)) as connection:
        keys = {row[0] for row in connection.execute("SELECT owner_id FROM data_keys")}
        reasons = connection.execute("SELECT identity_id, reason FROM erasures").fetchall()
    assert site.erased not in keys
    assert site.person in keys
    assert reasons == [(site.erased, "restored_from_a_backup")]
    site.caretaking.errands_done()
    assert not any(f"/{site.erased}/" in name for name in site.house.blobs() if not name.startswith("_erasures/"))
    assert any(f"/{site.person}/" in name for name in site.house.blobs())
    erase_again(load(site.folder), "ledger")  # a second time there is nothing to do
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM erasures").fetchone() == (1,)


def test_a_new_root_key(site: Site) -> None:
    """A new root key is put first, keys are sealed anew, the old one is taken out: nothing else has changed."""
    _erase(site)
    path = site.folder / "secrets.env"
    old = load(site.folder).root_keys.get_secret_value()
    new = base64.b64encode(bytes(range(32, 64))).decode()
    names = [name for name in site.house.blobs() if not name.startswith("_erasures/")]
    objects = {name: (site.folder / "blobs" / name).read_bytes() for name in names}
    text = path.read_text()
    path.write_text(text.replace(old, f"{new},{old}"))
    sealed = CliRunner().invoke(app, ["admin", "seal-keys-anew", "--data", str(site.folder)])
    assert "tenants' keys were sealed anew" in sealed.output
    assert site.verified()[0] == 0
    assert {name: (site.folder / "blobs" / name).read_bytes() for name in names} == objects
    path.write_text(text.replace(old, new))
    (line,) = site.verified()[1].splitlines()
    assert "the receipt of" in line  # it was signed under the old key, and is genuine only with that beside it
