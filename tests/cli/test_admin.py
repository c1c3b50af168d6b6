"""Tests of `idprefer admin`: what whoever runs the place does without the API."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cli.app import main
from store import audit, schema
from store.database import Database
from store.models import AuditEvent
from store.settings import load


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an empty database."""
    schema.upgrade(load(tmp_path).database_url)
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> Any:
    """Run an admin command; return the JSON that it prints."""
    with pytest.raises(SystemExit) as stopped:
        main(["admin", *words, "--data", str(data), "--json"])
    captured = capsys.readouterr()
    assert stopped.value.code == 0, captured.err
    return json.loads(captured.out)


def test_tenants(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tenant is made with a key that is shown once, listed, and changed."""
    (made,) = asked(capsys, data, "tenants", "create", "Photo Shop", "--weight", "2")
    assert made["first_key"].startswith("idr_live_")
    (listed,) = asked(capsys, data, "tenants", "list")
    assert (listed["id"], listed["name"], listed["weight"]) == (made["id"], "Photo Shop", 2.0)
    assert "first_key" not in listed
    (changed,) = asked(capsys, data, "tenants", "change", made["id"], "--max-running-jobs", "3", "--suspended")
    assert (changed["max_running_jobs"], changed["suspended"]) == (3, True)
    assert asked(capsys, data, "tenants", "list")[0]["suspended"]


def test_keys(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lost key is replaced: another is made with chosen scopes, the old one revoked."""
    (tenant,) = asked(capsys, data, "tenants", "create", "Photo Shop")
    (made,) = asked(capsys, data, "keys", "create", tenant["id"], "--name", "app", "--scope", "identities:read")
    assert made["key"].startswith("idr_live_")
    newest, first = asked(capsys, data, "keys", "list", tenant["id"])
    assert (newest["name"], newest["scopes"]) == ("app", ["identities:read"])
    (revoked,) = asked(capsys, data, "keys", "revoke", tenant["id"], first["id"])
    assert revoked["revoked_at"] is not None


def test_queues_jobs_and_workers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An idle house has three empty lanes, no jobs and no workers."""
    found = asked(capsys, data, "queues")
    lanes = found["lanes"]
    assert found["troubles"] == []
    assert (found["first_waiting"], found["workers"], found["failed_last_hour"]) == (None, [], [])
    assert found["storage"]["ready"]
    assert [(lane["kind"], lane["queued"], lane["running"]) for lane in lanes] == [
        ("assess", 0, 0), ("restore", 0, 0), ("train", 0, 0),
    ]  # fmt: skip
    assert asked(capsys, data, "jobs", "--state", "failed", "--kind", "train") == []
    assert asked(capsys, data, "workers", "list") == []


@pytest.mark.parametrize(
    "words", [["tenants", "change", "ten_0"], ["keys", "list", "ten_0"], ["workers", "drain", "wrk_0"]]
)
def test_what_is_not_there(data: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """An id that names nothing is one clear line and exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        main(["admin", *words, "--data", str(data)])
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.err.startswith("error: got an id that names no ")
    assert captured.err.count("\n") == 1


def test_tables(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json a person reads a table, in which an id is never cut off."""
    made = [asked(capsys, data, "tenants", "create", name)[0]["id"] for name in ("one", "[/two]")]
    with pytest.raises(SystemExit):
        main(["admin", "tenants", "list", "--data", str(data)])
    text = "".join(capsys.readouterr().out.split())
    assert "weight" in text
    assert "[/two]" in text
    assert all(tenant_id[-6:] in text for tenant_id in made)


def test_retention(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tenant's schedule is set, printed and lifted again; each change is in the tenant's own log."""
    (tenant,) = asked(capsys, data, "tenants", "create", "Photo Shop")
    words = ("tenants", "retention", tenant["id"])
    (told,) = asked(capsys, data, *words, "--references", "400", "--unused-identities", "700")
    assert (told["references_days"], told["unused_identities_days"], told["uploads_days"]) == (400, 700, None)
    (told,) = asked(capsys, data, *words, "--references", "0")
    assert asked(capsys, data, *words) == [told]
    assert (told["references_days"], told["unused_identities_days"]) == (None, 700)
    with closing(Database(load(data).database_url)) as database, database.transaction(tenant["id"]) as session:
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.sequence)).all()
        assert [(event.action, event.actor) for event in events] == [("tenant.retention_changed", "operator")] * 2
        assert events[0].details["references_days"] == 400
        assert audit.broken_link(session, tenant["id"]) is None
