"""`idprefer admin`: tenants, keys, jobs, workers and queues, straight from the database: for whoever runs the place."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.table import Table
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from cli import logs, overview
from cli.console import plain_console
from store import audit, operators, settings
from store.columns import Base
from store.database import Database, Role
from store.errors import DatabaseAway

_TENANT = ("id", "name", "weight", "suspended", "max_queued_jobs", "max_running_jobs", "max_identities", "created_at")
_SCHEDULE = ("id", "name", *operators.SCHEDULE)
_KEY = ("id", "tenant_id", "name", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")
_JOB = ("id", "tenant_id", "kind", "state", "attempt", "strikes", "worker_id", "queued_at", "finished_at", "error")
_WORKER = ("id", "state", "draining", "device", "bundle", "started_at", "last_seen_at")
_LISTED = 50


class Admin:
    """What an operator asks of one installation."""

    def __init__(self, data: Path | None, as_json: bool) -> None:
        self._settings = settings.load(data)
        self._as_json = as_json

    def tenants(self) -> None:
        """Print all tenants, newest first."""
        self._print(lambda session: [_tenant(row) for row in operators.tenants(session, _LISTED)], _TENANT)

    def create_tenant(self, name: str, weight: float, operator: bool) -> None:
        """Make a tenant, and print it with its first key."""
        with self._session() as session:
            row, _key, token = operators.create_tenant(session, name, weight, operator)
            made = {**_tenant(row), "first_key": token}
        self._show([made], (*_TENANT, "first_key"))

    def change_tenant(self, tenant_id: str, changes: Mapping[str, Any]) -> None:
        """Change a tenant's share or quotas, or suspend it."""
        self._print(lambda session: [_tenant(operators.change(session, tenant_id, **changes))], _TENANT)

    def retention(self, tenant_id: str, days: Mapping[str, int | None]) -> None:
        """Change for how long a tenant's things are kept, where that is asked for, and print it."""
        logs.set_up(self._settings)  # what is written into the audit log is a line on stderr too
        with self._session("ledger", tenant_id=tenant_id) as session:
            told = _fields(operators.change(session, tenant_id, **days), _SCHEDULE)
            if days:
                kept = {name: told[name] for name in operators.SCHEDULE}
                audit.record(session, tenant_id, "operator", "tenant.retention_changed", tenant_id, **kept)
        self._show([told], _SCHEDULE)

    def keys(self, tenant_id: str) -> None:
        """Print a tenant's keys, without their secrets."""
        self._print(lambda session: [_fields(row, _KEY) for row in operators.keys_of(session, tenant_id)], _KEY)

    def create_key(self, tenant_id: str, name: str, scopes: Sequence[str]) -> None:
        """Make a key, and print it: its text is shown this once."""
        with self._session() as session:
            row, token = operators.create_key(session, tenant_id, name, scopes or operators.SCOPES)
            made = {**_fields(row, _KEY), "key": token}
        self._show([made], (*_KEY, "key"))

    def revoke_key(self, tenant_id: str, key_id: str) -> None:
        """End a key now."""
        self._print(lambda session: [_fields(operators.revoke_key(session, tenant_id, key_id), _KEY)], _KEY)

    def jobs(self, state: str | None, kind: str | None) -> None:
        """Print the latest jobs of all tenants."""
        self._print(lambda session: [_fields(row, _JOB) for row in operators.jobs(session, _LISTED, state, kind)], _JOB)

    def workers(self) -> None:
        """Print the worker processes, the latest heard of first."""
        self._print(lambda session: [_fields(row, _WORKER) for row in operators.workers(session)], _WORKER)

    def drain(self, worker_id: str) -> None:
        """Let a worker finish what it has, and claim nothing more."""
        self._print(lambda session: [_fields(operators.drain(session, worker_id), _WORKER)], _WORKER)

    def queues(self) -> None:
        """Print how the installation is doing."""
        with self._session(read_only=True) as session, self._session("ledger", read_only=True) as ledger:
            found = overview.collected(session, ledger, self._settings)
        overview.show(found, self._as_json)

    def health(self, process: str) -> None:
        """Say whether the worker of this host, or the caretaker, is at work; exit code 1 where it is not."""
        with self._session(read_only=True) as session, self._session("ledger", read_only=True) as ledger:
            well = overview.worker_is_well(session) if process == "worker" else overview.caretaker_is_well(ledger)
        typer.echo(f"{process}: {'well' if well else 'not well'}")
        if not well:
            raise typer.Exit(1)

    def _print(self, ask: Callable[[Session], Sequence[Mapping[str, Any]]], columns: Sequence[str]) -> None:
        with self._session() as session:
            rows = ask(session)
        self._show(rows, columns)

    def _show(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        if self._as_json:
            typer.echo(json.dumps([{name: row[name] for name in columns} for row in rows], indent=2, default=str))
            return
        for row in rows if len(rows) == 1 else ():  # one thing: nothing of it is cut off
            for name in columns:
                typer.echo(f"{name:20} {_text(row[name])}")
        if len(rows) == 1:
            return
        table = Table(box=None)
        for name in columns:
            table.add_column(name, overflow="fold")  # an id is there to be copied
        for row in rows:
            table.add_row(*(_text(row[name]) for name in columns))
        plain_console().print(table)

    @contextlib.contextmanager
    def _session(
        self, role: Role = "operator", read_only: bool = False, tenant_id: str | None = None
    ) -> Iterator[Session]:
        database = Database(self._settings.database_url, role=role)
        try:
            with contextlib.closing(database), database.transaction(tenant_id, read_only=read_only) as session:
                yield session
        except OperationalError as error:
            raise DatabaseAway(
                f"got no answer from the database ({error.orig}), wanted one; is it running, and is "
                "IDPREFER_DATABASE_URL its address?"
            ) from error
        except ProgrammingError as error:
            raise DatabaseAway(
                f"got a database with other tables ({error.orig}), wanted this version's; run `idprefer migrate`"
            ) from error


def _tenant(row: Any) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in ("id", "name", "created_at")}
    return own | {name: getattr(row.share, name) for name in _TENANT if name not in own}


def _fields(row: Base, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M:%S"))
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(value) if isinstance(value, list) else str(value)
