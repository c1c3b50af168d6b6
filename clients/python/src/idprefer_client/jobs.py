"""Jobs: followed until they end, over broken connections too."""

import time
from collections.abc import Callable, Iterator

import httpx2

from idprefer_client.errors import JobFailed, Problem, StillRunning, Unreachable
from idprefer_client.records import Job, JobEvent, read
from idprefer_client.transport import Transport, pause_seconds

_PATIENCE = 8
"""How often a stream may break, without an event in between, before it is given up."""


class Jobs:
    """Work on its way."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, job_id: str) -> Job:
        """Return one job."""
        return self._transport.get(Job, f"/v1/jobs/{job_id}")

    def list(self, kind: str | None = None, state: str | None = None) -> Iterator[Job]:
        """Return all jobs of a kind and state, newest first."""
        return self._transport.all(Job, "/v1/jobs", kind=kind, state=state)

    def cancel(self, job_id: str) -> Job:
        """Stop a job; it is `canceling` until its worker has stopped."""
        return self._transport.post(Job, f"/v1/jobs/{job_id}/cancel")

    def retry(self, job_id: str) -> Job:
        """Queue a failed, canceled or expired job again."""
        return self._transport.post(Job, f"/v1/jobs/{job_id}/retry")

    def events(self, job_id: str, after: int = 0, timeout_seconds: float | None = None) -> Iterator[JobEvent]:
        """Return what happened after an event and what happens, each once, until the job has ended or time is up."""
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        broken = 0
        while until is None or time.monotonic() < until:
            before = after
            try:
                for data in self._transport.events(f"/v1/jobs/{job_id}/events", after, until):
                    event = read(JobEvent, data)
                    after = event.sequence
                    yield event
                if self.get(job_id).ended:
                    return
            except httpx2.TransportError as error:
                if broken == _PATIENCE:
                    message = f"got a stream that broke {broken + 1} times; wanted the events of {job_id}"
                    raise Unreachable(message) from error
            except Problem as problem:
                if not problem.retryable or broken == _PATIENCE:
                    raise
            broken = broken + 1 if after == before else 0
            left = 8.0 if until is None else max(until - time.monotonic(), 0)
            time.sleep(min(pause_seconds(broken + 1), left))

    def wait(
        self, job_id: str, timeout_seconds: float | None = None, on_event: Callable[[JobEvent], None] | None = None
    ) -> Job:
        """Return the job when it has succeeded; JobFailed if it ended otherwise, StillRunning if the time is up."""
        for event in self.events(job_id, timeout_seconds=timeout_seconds):
            if on_event is not None:
                on_event(event)
        job = self.get(job_id)
        if not job.ended:
            raise StillRunning(f"job {job_id} is {job.state} after {timeout_seconds} s; wait again, or cancel it")
        if job.state != "succeeded":
            error = job.error or {}
            raise JobFailed(job_id, job.state, error.get("code", job.state), error.get("detail", "no more is known"))
        return job
