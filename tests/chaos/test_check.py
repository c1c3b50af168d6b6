"""The checker finds what it is there to find: each thing that must not be, from a log and rows in which it is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.check import Findings, _from_log, _look_at_jobs

START = datetime(2026, 1, 1, tzinfo=UTC)


def found(states: dict[str, str], events: Mapping[str, Sequence[tuple[str, float]]], accepted: list[str]) -> Findings:
    """Look at jobs in these states, to which these things happened, at seconds; some were promised to clients."""
    log: list[dict[str, Any]] = [{"at": 0.0, "what": "begin"}]
    log += [{"at": 1.0, "what": "accepted", "job_id": job_id} for job_id in accepted]
    jobs = {job_id: {"id": job_id, "state": state, "error": None, "attempt": 1} for job_id, state in states.items()}
    history = defaultdict(list)
    for job_id, happened in events.items():
        for n, (kind, at) in enumerate(happened, start=1):
            history[job_id].append({"sequence": n, "type": kind, "created_at": START + timedelta(seconds=at)})
    findings = _from_log(log, jobs)
    _look_at_jobs(findings, jobs, history)
    return findings


def test_a_job_as_it_should_be() -> None:
    """A job that was promised, began and succeeded is nothing to speak of."""
    events = {"a": [("queued", 0), ("started", 1), ("succeeded", 100)]}
    assert found({"a": "succeeded"}, events, ["a"]).wrong() == {}


@pytest.mark.parametrize(
    ("wrong", "states", "events", "accepted"),
    [
        ("lost", {}, {}, ["a"]),
        ("unpromised", {"a": "succeeded"}, {"a": [("succeeded", 0)]}, []),
        ("failed", {"a": "failed"}, {"a": [("failed", 0)]}, ["a"]),
        ("failed", {"a": "running"}, {"a": [("started", 0)]}, ["a"]),
        ("published_twice", {"a": "succeeded"}, {"a": [("succeeded", 0), ("succeeded", 1)]}, ["a"]),
        ("stuck", {"a": "succeeded"}, {"a": [("queued", 0), ("started", 121), ("succeeded", 122)]}, ["a"]),
    ],
)
def test_what_must_not_be(
    wrong: str, states: dict[str, str], events: Mapping[str, Sequence[tuple[str, float]]], accepted: list[str]
) -> None:
    """It is found, and nothing else is."""
    assert list(found(states, events, accepted).wrong()) == [wrong]
