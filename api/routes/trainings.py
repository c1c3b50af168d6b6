"""Trainings: a job that makes an adapter."""

from typing import Annotated

from fastapi import Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.dependencies import IdempotencyKey, Tx, begin, own, parts_of, working
from api.idempotency import Answer, Replay, answered
from api.live import wait_seconds
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.jobs import Job, NewTraining
from api.shown import show_job
from store import models, trainings

routes = router("trainings")


@routes.post(
    "/identities/{identity_id}/trainings",
    status_code=202,
    response_model=Job,
    responses={200: {"model": Job, "description": "It ended while the request waited."}},
    openapi_extra=scope("identities:write"),
)
async def start_training(
    identity_id: str,
    body: NewTraining,
    request: Request,
    idempotency_key: IdempotencyKey = None,
    prefer: Annotated[str | None, Header(description="wait=N: answer when it has ended.")] = None,
) -> Response:
    """Personalize: train an adapter from the accepted photos."""
    try:
        answer = await run_in_threadpool(_accept, request, identity_id, body, idempotency_key)
    except Replay as replay:
        answer = replay.answer
    seconds = wait_seconds(prefer)
    if seconds and await parts_of(request).hub.until_ended([answer.body["id"]], seconds):
        answer = answer.now(200, await run_in_threadpool(_ended, request, answer.body["id"]))
    return answer.response()


def _accept(request: Request, identity_id: str, body: NewTraining, key: str | None) -> Answer:
    with working(request) as work:
        once = begin(work, key)
        identity = own(work, models.Identity, identity_id)
        job = trainings.start(work.session, identity, trainings.Wish(**body.model_dump()))
        work.ring("train")
        work.audit("training.started", job.id)
        return once.keep(answered(202, show_job(work, job), location=f"/v1/jobs/{job.id}", retry_after="2"))


def _ended(request: Request, job_id: str) -> Job:
    with working(request, read_only=True) as work:
        return show_job(work, own(work, models.Job, job_id))


@routes.get("/identities/{identity_id}/trainings", response_model=Page[Job], openapi_extra=scope("identities:read"))
def list_trainings(identity_id: str, work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Job]:
    """List a person's trainings, newest first."""
    own(work, models.Identity, identity_id)
    wanted = {"identity_id": identity_id, "kind": "train"}
    return page(work, models.Job, lambda row: show_job(work, row), limit, cursor, **wanted)
