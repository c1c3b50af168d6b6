"""Requests that may be repeated: each POST under one Idempotency-Key, each refusal as a Problem."""

import json
import math
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx2

from idprefer_client.errors import Problem, Unreachable
from idprefer_client.records import Record, read

FileParts: TypeAlias = Sequence[tuple[str, tuple[str, bytes, str]]]
_LONGEST_PAUSE_SECONDS = 60.0
_EVENT_SILENCE_SECONDS = 45.0
"""The service pings an idle stream every 15 s; three missed pings mean that it is gone."""


@dataclass(frozen=True)
class Sending:
    """What one request carries beside its method and path."""

    params: Mapping[str, Any] | None = None
    json: Any = None
    data: Mapping[str, str] | None = None
    files: FileParts | None = None
    wait_seconds: int = 0

    def arguments(self) -> dict[str, Any]:
        """Return it as httpx2 takes it; a field of None is not sent."""
        params = {name: value for name, value in (self.params or {}).items() if value is not None}
        given = {"json": self.json, "data": self.data, "files": self.files}
        return {"params": params, **{name: value for name, value in given.items() if value is not None}}


class Transport:
    """One connection pool to one service, for one key."""

    def __init__(self, http: httpx2.Client, attempts: int, timeout_seconds: float) -> None:
        self.http = http
        self._attempts = attempts
        self._timeout_seconds = timeout_seconds

    def request(self, method: str, path: str, sending: Sending | None = None) -> httpx2.Response:
        """Return the answer to a request, repeated where that helps and can have only one effect."""
        sending = sending or Sending()
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        if sending.wait_seconds:
            headers["Prefer"] = f"wait={sending.wait_seconds}"
        timeout = self._timeout_seconds + sending.wait_seconds
        lost = False
        for attempt in range(1, self._attempts + 1):
            try:
                answer = self.http.request(method, path, headers=headers, timeout=timeout, **sending.arguments())
            except httpx2.TransportError as error:
                if attempt == self._attempts:
                    raise Unreachable(f"got no answer to {method} {path} in {attempt} attempts: {error}") from error
                lost = True
                time.sleep(pause_seconds(attempt))
                continue
            if answer.is_success or (lost and method == "DELETE" and answer.status_code == httpx2.codes.NOT_FOUND):
                return answer  # a DELETE whose first answer was lost finds nothing any more: it is done
            problem = problem_of(answer)
            if not problem.retryable or attempt == self._attempts:
                raise problem
            time.sleep(pause_seconds(attempt, answer.headers.get("Retry-After")))
        raise AssertionError("a request is tried at least once")

    def get(self, record: type[Record], path: str, **params: Any) -> Record:
        """Return a record that is there."""
        return read(record, self.request("GET", path, Sending(params=params)).json())

    def post(self, record: type[Record], path: str, sending: Sending | None = None) -> Record:
        """Return the record that a POST makes or changes."""
        return read(record, self.request("POST", path, sending).json())

    def patch(self, record: type[Record], path: str, changes: Mapping[str, Any]) -> Record:
        """Return a record as it is after these changes."""
        return read(record, self.request("PATCH", path, Sending(json=changes)).json())

    def delete(self, path: str) -> None:
        """Delete what is there."""
        self.request("DELETE", path)

    def bytes(self, path: str) -> bytes:
        """Return a picture or a file."""
        return self.request("GET", path).content

    def all(self, record: type[Record], path: str, **params: Any) -> Iterator[Record]:
        """Return everything in a list, page by page as it is needed, newest first."""
        cursor: str | None = None
        while True:
            sent = Sending(params={"limit": 100, **params, "cursor": cursor})
            page = self.request("GET", path, sent).json()
            yield from (read(record, item) for item in page["data"])
            cursor = page["next_cursor"]
            if not page["has_more"]:
                return

    def events(self, path: str, after: int, until: float | None) -> Iterator[Any]:
        """Return the JSON of each event after this one, until the stream ends or the (monotonic) time is up."""
        left = math.inf if until is None else max(until - time.monotonic(), 0.1)
        timeout = httpx2.Timeout(self._timeout_seconds, read=min(_EVENT_SILENCE_SECONDS, left))
        headers = {"Last-Event-ID": str(after), "Accept": "text/event-stream"}
        with self.http.stream("GET", path, headers=headers, timeout=timeout) as answer:
            if not answer.is_success:
                answer.read()
                raise problem_of(answer)
            for line in answer.iter_lines():  # one line of data per event; the others repeat it, or are pings
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))
                if until is not None and time.monotonic() > until:
                    return


def problem_of(answer: httpx2.Response) -> Problem:
    """Return what a refusal says; an answer that is no problem+json comes from something in between."""
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        body = answer.json()
        names = ("status", "code", "detail", "request_id", "retryable")
        return Problem(**{name: body[name] for name in names}, errors=body.get("errors", ()))
    between = answer.status_code in {429, 502, 503, 504}
    return Problem(answer.status_code, "unknown", answer.text[:200], retryable=between)


def pause_seconds(attempt: int, retry_after: str | None = None) -> float:
    """Return how long to wait before the next attempt: what the service asks for, else longer each time."""
    if retry_after is not None and retry_after.isdecimal():
        return min(float(retry_after), _LONGEST_PAUSE_SECONDS)
    return random.uniform(0.5, 1.0) * min(0.5 * 2.0 ** (attempt - 1), 8.0)
