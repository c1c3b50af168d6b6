"""Jobs: how far they are, what happened, how to stop or repeat them."""

import asyncio
from collections.abc import AsyncIterable
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.auth import live_key
from api.dependencies import Once, Tx, Work, own, parts_of, working
from api.errors import DATABASE_AWAY
from api.idempotency import answered
from api.live import ENDED, Pulse, Watch
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.jobs import Job, JobEvent, Kind, State
from api.shown import show_job
from store import ledger, models, queries, retries

routes = router("jobs")
READ = scope("identities:read", "restorations:read")
WRITE = scope("identities:write", "restorations:write")
KEY_SECONDS = 15.0
"""From one look at the key of a stream in which nothing happens to the next: as often as the framework pings."""


@routes.get("/jobs", response_model=Page[Job], openapi_extra=READ)
def list_jobs(
    work: Tx,
    limit: Limit = 20,
    cursor: Cursor = None,
    kind: Annotated[Kind | None, Query()] = None,
    state: Annotated[State | None, Query()] = None,
) -> Page[Job]:
    """List the tenant's jobs, newest first."""
    wanted = {name: value for name, value in (("kind", kind), ("state", state)) if value is not None}
    return page(work, models.Job, lambda row: show_job(work, row), limit, cursor, **wanted)


@routes.get("/jobs/{job_id}", response_model=Job, openapi_extra=READ)
def get_job(job_id: str, work: Tx, response: Response) -> Job:
    """Return one job; `Retry-After` says when to ask again, as long as it has not ended."""
    job = show_job(work, own(work, models.Job, job_id))
    if job.state not in ENDED:
        response.headers["Retry-After"] = "2"
    return job


def _watched(job_id: str, request: Request) -> models.Job:
    with working(request, read_only=True) as work:
        return own(work, models.Job, job_id)


@routes.get("/jobs/{job_id}/events", response_class=EventSourceResponse, openapi_extra=READ)
async def stream_job_events(
    job: Annotated[models.Job, Depends(_watched)],
    request: Request,
    last_event_id: Annotated[
        str | None, Header(description="Go on after this event.", pattern=r"^[0-9]{1,15}$")
    ] = None,
) -> AsyncIterable[ServerSentEvent]:
    """Follow a job: what has happened since Last-Event-ID, then what happens, until it has ended."""
    last = int(last_event_id) if last_event_id else 0
    with parts_of(request).hub.watch(job.id) as watch:
        while (pulse := await _next_pulse(watch, request)) is not None:
            events = await to_thread.run_sync(_events_after, request, job.id, last)
            for event in events or ():
                last = event.sequence
                yield ServerSentEvent(data=event.model_dump(mode="json"), event=event.type, id=str(last))
            if events is None or pulse.ended:
                return


async def _next_pulse(watch: Watch, request: Request) -> Pulse | None:
    """Wait until something happens; None: the client is to ask again, here or another process, if its key still may."""
    while True:
        try:
            async with asyncio.timeout(KEY_SECONDS):
                return await watch.change()
        except TimeoutError:
            if not await to_thread.run_sync(_may_still_follow, request):
                return None


def _may_still_follow(request: Request) -> bool:
    """Say whether who asks may still be told; nothing is told anyway while the database is away."""
    try:
        with working(request, read_only=True) as work:
            return _is_let_in(work)
    except DATABASE_AWAY:
        return True


def _is_let_in(work: Work) -> bool:
    """Say whether the key is still good, and the session still open that names it."""
    return live_key(work.session, work.principal.key_id, work.principal.nonce) is not None


def _events_after(request: Request, job_id: str, last: int) -> list[JobEvent] | None:
    """Return what has happened; None for who may not be told any more."""
    with working(request, read_only=True) as work:
        if not _is_let_in(work):
            return None
        rows = queries.job_events(work.session, work.tenant_id, job_id, last)
        return [JobEvent.model_validate(row) for row in rows]


@routes.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    response_model=Job,
    responses={200: {"model": Job, "description": "It is canceled."}},
    openapi_extra=WRITE,
)
def cancel_job(job_id: str, work: Tx, once: Once) -> Response:
    """Stop a job: 200 once it is canceled, 202 while a worker is being stopped, 409 if it has ended otherwise."""
    row = own(work, models.Job, job_id)
    canceled = ledger.cancel(work.session, row)
    work.audit("job.canceled", row.id)
    return once.keep(answered(200 if canceled.state == "canceled" else 202, show_job(work, canceled))).response()


@routes.post("/jobs/{job_id}/retry", status_code=202, response_model=Job, openapi_extra=WRITE)
def retry_job(job_id: str, work: Tx, once: Once) -> Response:
    """Queue a failed, canceled or expired job again; a training goes on from its checkpoint."""
    row = own(work, models.Job, job_id)
    job = retries.retry(work.session, row)
    work.ring(job.kind)
    work.audit("job.retried", row.id)
    return once.keep(answered(202, show_job(work, job), location=f"/v1/jobs/{job.id}", retry_after="2")).response()
