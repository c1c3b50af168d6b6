"""What became of a run, read from its log, the database and the object store alone, when everything has ended."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from core.decoder import pixels_sha256
from core.images import read_photo
from store import erasure_ledger
from store.database import Database
from store.errors import StoreError
from store.safe import Safe
from tests.chaos.events import read_events

STUCK_SECONDS = 120.0
Row = dict[str, Any]


@dataclass
class Findings:
    """What was found; the lists hold what must not be."""

    accepted: int
    states: Counter[str]
    worker_lost: list[str]  # neither lost nor successes: listed apart
    faults: Counter[str]
    retried: Counter[str]  # why jobs failed before they were asked for again
    attempts: Counter[int]  # how often a worker began each job
    longest_silence_seconds: float = 0.0  # of a job between two events
    seconds: float = 0.0  # from the first event of the log to the last
    lost: list[str] = field(default_factory=list)  # promised, and not there
    unpromised: list[str] = field(default_factory=list)  # there, and promised to nobody
    failed: list[str] = field(default_factory=list)  # ended badly, and not for the loss of a worker
    published_twice: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    broken: list[str] = field(
        default_factory=list
    )  # whose results are missing, cannot be opened, or are another lease's
    orphans: list[str] = field(default_factory=list)  # objects that no row knows
    refused: list[str] = field(default_factory=list)  # requests that a client gave up

    def wrong(self) -> dict[str, list[str]]:
        """Return everything that must not be."""
        names = ("lost", "unpromised", "failed", "published_twice", "stuck", "broken", "orphans", "refused")
        return {name: found for name in names if (found := getattr(self, name))}

    def summary(self) -> str:
        """Return the run in a few lines of Markdown."""
        lines = [
            f"{self.accepted} jobs, {self.faults.total()} faults, {self.seconds:.0f} s",
            f"states: {dict(self.states)}; failed as worker_lost: {len(self.worker_lost)}",
            f"longest silence of a job: {self.longest_silence_seconds:.1f} s",
            f"times a worker began a job: {dict(sorted(self.attempts.items()))}",
            f"failed and asked for again: {dict(self.retried)}",
            *(f"{name}: {len(found)}" for name, found in self._zeros().items()),
            "| fault | times |",
            "|---|---|",
            *(f"| {name} | {count} |" for name, count in sorted(self.faults.items())),
        ]
        return "\n".join(lines)

    def _zeros(self) -> dict[str, list[str]]:
        names = ("lost", "unpromised", "failed", "published_twice", "stuck", "broken", "orphans", "refused")
        return {name: getattr(self, name) for name in names}


def check(log: Path, database_url: str, safe: Safe) -> Findings:
    """Compare what was promised with what is there; `database_url` is a superuser's."""
    events = read_events(log)
    with psycopg.connect(database_url.replace("+psycopg", ""), row_factory=dict_row) as connection:
        jobs = {row["id"]: row for row in connection.execute("SELECT * FROM jobs")}
        history = _history(connection)
        known = _known_objects(connection)
        results = list(_results(connection))
    found = _from_log(events, jobs)
    _look_at_jobs(found, jobs, history)
    present = {one.name for one in safe.blobs.list("") if not one.name.startswith(erasure_ledger.FOLDER)}
    found.orphans = sorted(present - known)
    found.broken += [f"{name} is not there" for name in sorted(known - present)]
    with closing(Database(database_url)) as database:
        found.broken += [fault for result in results if (fault := _fault_of(database, safe, result, jobs))]
    return found


def _from_log(events: Sequence[Row], jobs: dict[str, Row]) -> Findings:
    accepted = {event["job_id"] for event in events if event["what"] == "accepted"}
    return Findings(
        accepted=len(accepted),
        states=Counter(job["state"] for job in jobs.values()),
        worker_lost=[job["id"] for job in jobs.values() if (job["error"] or {}).get("code") == "worker_lost"],
        faults=Counter(event["name"] for event in events if event["what"] == "fault"),
        retried=Counter(e["code"] for e in events if e["what"] == "failed" and e["code"] != "worker_lost"),
        attempts=Counter(job["attempt"] for job in jobs.values()),
        seconds=events[-1]["at"] - events[0]["at"],
        lost=sorted(accepted - jobs.keys()),
        unpromised=sorted(jobs.keys() - accepted),
        refused=[str(event) for event in events if event["what"] in ("refused", "given_up")],
    )


def _look_at_jobs(found: Findings, jobs: dict[str, Row], history: dict[str, list[Row]]) -> None:
    for job_id, job in jobs.items():
        if job["state"] != "succeeded" and job_id not in found.worker_lost:
            found.failed.append(f"{job_id} is {job['state']}: {job['error']}")
        happened = history[job_id]
        if [event["sequence"] for event in happened] != list(range(1, len(happened) + 1)):
            found.broken.append(f"{job_id} has events with gaps")
        if [event["type"] for event in happened].count("succeeded") > 1:
            found.published_twice.append(job_id)
        silences = [(b["created_at"] - a["created_at"]).total_seconds() for a, b in pairwise(happened)]
        longest = max(silences, default=0.0)
        found.longest_silence_seconds = max(found.longest_silence_seconds, longest)
        if longest > STUCK_SECONDS:
            found.stuck.append(f"{job_id} for {longest:.0f} s")


def _history(connection: "psycopg.Connection[Row]") -> dict[str, list[Row]]:
    history: dict[str, list[Row]] = defaultdict(list)
    for row in connection.execute("SELECT * FROM job_events ORDER BY job_id, sequence"):
        history[row["job_id"]].append(row)
    return history


def _known_objects(connection: "psycopg.Connection[Row]") -> set[str]:
    """Return the names in every column that holds names of objects, whatever the product makes of them."""
    columns = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND (column_name = 'blob' OR column_name LIKE '%\\_blob')"
    ).fetchall()
    assert len(columns) >= 7, "photos, faces, adapters, uploads, inputs, results, comparisons, checkpoints"
    known: set[str] = set()
    for column in columns:
        name, table = column["column_name"], column["table_name"]
        statement = f'SELECT "{name}" AS name FROM "{table}" WHERE "{name}" IS NOT NULL'
        known |= {row["name"] for row in connection.execute(statement.encode())}
    return known


def _results(connection: "psycopg.Connection[Row]") -> Iterator[Row]:
    """Yield every result: whose it is, which job made it, its object, and the digest of its pixels."""
    yield from connection.execute(
        "SELECT tenant_id, id AS owner_id, job_id, result_blob AS blob, pixels_sha256 FROM restorations"
    )
    yield from connection.execute(
        "SELECT tenant_id, identity_id AS owner_id, job_id, blob, NULL AS pixels_sha256 FROM adapters"
    )


def _fault_of(database: Database, safe: Safe, result: Row, jobs: dict[str, Row]) -> str | None:
    """Return what is wrong with a result, which a job that succeeded wrote under its last lease; None: nothing is."""
    job = jobs[result["job_id"]]
    if job["state"] != "succeeded":
        return None if result["blob"] is None else f"{job['id']} is {job['state']} and has a result"
    if f"/{job['id']}/{job['lease_epoch']}/" not in (result["blob"] or ""):
        return f"{job['id']} has {result['blob']}, and lease {job['lease_epoch']}"
    try:
        with database.transaction(result["tenant_id"], read_only=True) as session:
            data = safe.get(session, result["tenant_id"], result["owner_id"], result["blob"])
    except StoreError as error:
        return f"{job['id']}: {error}"
    if result["pixels_sha256"] is None:
        return None
    pixels = read_photo(data, limit_bytes=None).pixels
    same = pixels_sha256(pixels.shape, pixels.tobytes()) == result["pixels_sha256"]
    return None if same else f"{job['id']}: the picture is not the one that was published"
