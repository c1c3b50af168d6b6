"""`idprefer admin queues`: what a person wants to know at three in the morning, on one screen, the worst first."""

import json
import shutil
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.table import Table
from sqlalchemy.orm import Session

from cli.console import plain_console
from store import operators, overview
from store.blobs_of import open_blobs
from store.settings import Settings

Shown = Mapping[str, Any]
_OVERDUE_SECONDS = 60.0  # errands that are late by so long: is the caretaker there?
_LATE_SECONDS = 60.0  # a lane in which the first job has waited for so long


def worker_is_well(session: Session) -> bool:
    """Say whether a worker of this host has been heard of lately."""
    mine = [worker for worker in overview.workers(session) if worker["host"] == socket.gethostname()]
    return any(worker["state"] != "silent" for worker in mine)


def caretaker_is_well(ledger: Session) -> bool:
    """Say whether no errand is overdue, asked as the ledger's role."""
    return (overview.errands(ledger)["oldest_seconds"] or 0.0) < _OVERDUE_SECONDS


def collected(session: Session, ledger: Session, settings: Settings) -> dict[str, Any]:
    """Return everything there is to show; `ledger` is a session of the ledger's role, which sees the errands."""
    waits = overview.waits(session)
    lanes = [
        {**lane, **{f"waited_p{share}": overview.quantile(waits[lane["kind"]], share / 100) for share in (50, 95)}}
        for lane in operators.queues(session)
    ]
    return {
        "lanes": lanes,
        "first_waiting": overview.first_waiting(session),
        "tenants": overview.tenants(session),
        "workers": overview.workers(session),
        "failed_last_hour": overview.failures(session),
        "errands": overview.errands(ledger),
        "storage": _storage(settings),
    }


def _storage(settings: Settings) -> dict[str, Any]:
    ready = open_blobs(settings).ready()
    if settings.s3_endpoint:
        return {"where": f"{settings.s3_endpoint}/{settings.s3_bucket}", "ready": ready, "free_bytes": None}
    return {"where": str(settings.data_dir), "ready": ready, "free_bytes": shutil.disk_usage(settings.data_dir).free}


def troubles(found: Shown) -> list[str]:
    """Return what is wrong, in words, each with the first thing to do about it."""
    lanes, workers = found["lanes"], found["workers"]
    alive = [worker for worker in workers if worker["state"] in ("idle", "busy")]
    silent = [worker["id"] for worker in workers if worker["state"] == "silent"]
    waiting = sum(lane["queued"] for lane in lanes)
    said = []
    if not found["storage"]["ready"]:
        said.append(f"storage does not answer ({found['storage']['where']}): jobs fail as `unavailable`; mend it first")
    if waiting and not alive:
        said.append(f"{waiting} jobs wait and no worker is there to take them: start one, or look at its log")
    for lane in lanes:
        if alive and (lane["oldest_age_seconds"] or 0.0) > _LATE_SECONDS:
            said.append(f"{lane['kind']}: the first has waited {_seconds(lane['oldest_age_seconds'])}: add workers")
    if silent:
        said.append(f"{len(silent)} workers went silent without a word ({', '.join(silent[:3])}): out of memory?")
    if (found["errands"]["oldest_seconds"] or 0.0) >= _OVERDUE_SECONDS:
        said.append("errands are overdue (webhooks, erasures, expiry): is `idprefer housekeeping` running?")
    if failed := sum(row["count"] for row in found["failed_last_hour"]):
        said.append(f"{failed} jobs failed in the last hour: `idprefer admin jobs --state failed` says why")
    return said


def show(found: Shown, as_json: bool) -> None:
    """Print it all: as JSON, or for a person."""
    if as_json:
        typer.echo(json.dumps({**found, "troubles": troubles(found)}, indent=2, default=str))
        return
    for trouble in troubles(found) or ["nothing looks wrong"]:
        typer.echo(f"* {trouble}")
    _table("lanes", found["lanes"], ("kind", "queued", "running", "oldest_age_seconds", "waited_p50", "waited_p95"))
    first = found["first_waiting"]
    _table("first to wait", [first] if first else [], ("id", "kind", "tenant_id", "age_seconds", "attempt"))
    names = ("id", "name", "queued", "running", "oldest_age_seconds", "weight", "max_running_jobs", "suspended")
    _table("tenants with jobs", found["tenants"], names)
    workers = [{**worker, "does": _doing(worker["jobs"])} for worker in found["workers"]]
    _table("workers", workers, ("id", "host", "device", "bundle", "state", "silent_seconds", "does"))
    _table("failed in the last hour", found["failed_last_hour"], ("kind", "code", "count", "latest_job_id"))
    storage, errands = found["storage"], found["errands"]
    room = "" if storage["free_bytes"] is None else f", {storage['free_bytes'] / 2**30:.1f} GiB free"
    typer.echo(f"storage  {storage['where']}: {'ready' if storage['ready'] else 'NOT READY'}{room}")
    late = f", the first for {_seconds(errands['oldest_seconds'])}" if errands["due"] else ""
    typer.echo(f"errands  {errands['due']} due{late}")


def _doing(jobs: Sequence[Shown]) -> str:
    """Say what a worker does: how many jobs of what kind, for how long, how far."""
    said = []
    for job in jobs:
        progress = job["progress"] or {}
        far = f" {progress['step']}/{progress['total']}" if progress else ""
        said.append(f"{job['kind']} {job['id']}{far} {_seconds(job['seconds'])}")
    return "; ".join(said) or "-"


def _table(title: str, rows: Sequence[Shown], columns: Sequence[str]) -> None:
    if not rows:
        typer.echo(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", box=None)
    for name in columns:
        table.add_column(name.replace("_", " "), overflow="fold")  # an id is there to be copied
    for row in rows:
        table.add_row(*(_cell(name, row[name]) for name in columns))
    plain_console().print(table)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.endswith("_seconds") or name.startswith("waited"):
        return _seconds(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seconds(value: float) -> str:
    """Return a length of time as people say it."""
    if value < 100:
        return f"{value:.1f} s"
    minutes = value / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
