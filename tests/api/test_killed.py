"""A server killed between a commit and its answer: the repeated request has one effect, and the first one's ids."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.fragile import HEADER, POINTS, Fragile, Made, fragile
from tests.api.service import png

POSTS = ("identity", "training", "restoration", "restoration by form", "references")


def _request(name: str, made: Made) -> tuple[str, Mapping[str, Any], str]:
    """Return where a request is sent, its body, and where its effects are listed."""
    own = f"/v1/identities/{made.identity_id}"
    person = {"identity_id": made.identity_id}
    requests: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
        "identity": ("/v1/identities", {"json": {"name": "Eve"}}, "/v1/identities"),
        "training": (f"{own}/trainings", {"json": {"preset": "fast"}}, "/v1/jobs"),
        "restoration": ("/v1/restorations", {"json": {**person, "upload_id": made.upload_id}}, "/v1/restorations"),
        "restoration by form": ("/v1/restorations", {"data": person, "files": {"image": png(8)}}, "/v1/restorations"),
        "references": (f"{own}/references", {"files": [("files", png(seed)) for seed in (2, 3)]}, f"{own}/references"),
    }
    return requests[name]


def _ids(running: Fragile, path: str) -> set[str]:
    return {row["id"] for row in running.http.get(path, params={"limit": 100}).json()["data"]}


def _named(answer: httpx2.Response) -> set[str]:
    """Return the ids of what an answer says it made."""
    body = answer.json()
    return {row["id"] for row in body["data"]} if "data" in body else {body["id"]}


def _killed(folder: Path, name: str, point: str) -> tuple[set[str], str]:
    """Send a request that kills the server; return what was there before, and the request's key."""
    key = f"{name} {point}".replace(" ", "-")
    with fragile(folder) as running:
        path, body, listed = _request(name, running.made)
        before = _ids(running, listed)
        with pytest.raises(httpx2.TransportError):
            running.http.post(path, headers={"Idempotency-Key": key, HEADER: point}, **body)
        assert running.process.wait(20) == -signal.SIGKILL
    return before, key


def _replayed(folder: Path, name: str, key: str) -> tuple[list[httpx2.Response], set[str]]:
    """Send it twice more to a new server; return both answers and what is there then."""
    with fragile(folder) as running:
        path, body, listed = _request(name, running.made)
        answers = [running.http.post(path, headers={"Idempotency-Key": key}, **body) for _ in range(2)]
        return answers, _ids(running, listed)


def _check(folder: Path, name: str, point: str) -> None:
    before, key = _killed(folder, name, point)
    answers, after = _replayed(folder, name, key)
    assert [answer.status_code for answer in answers] == [201 if name == "identity" else 202] * 2
    marked = ["idempotent-replayed" in answer.headers for answer in answers]
    assert marked == [point != "before_commit", True]
    assert _named(answers[0]) == _named(answers[1]) == after - before
    assert len(after - before) == (2 if name == "references" else 1)


def test_an_answer_that_never_came(tmp_path: Path) -> None:
    """Photos were received and the server died before it said so: sent again, they are there once."""
    _check(tmp_path, "references", "before_answer")


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", POSTS)
def test_every_post_at_every_point(name: str, point: str, tmp_path: Path) -> None:
    """Killed before its commit a request has no effect until it is repeated; killed after it, it has that one."""
    _check(tmp_path, name, point)
