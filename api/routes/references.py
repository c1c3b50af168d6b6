"""Reference photos: kept encrypted, judged by a worker."""

from typing import Annotated

from fastapi import File, Header, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool

from api import pictures
from api.dependencies import IdempotencyKey, Tx, begin, own, parts_of, working
from api.idempotency import Answer, Replay, answered
from api.limits import BATCH_BYTES, FILES
from api.live import wait_seconds
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import picture, router, scope
from api.schemas.references import Reference, References
from api.shown import show_reference
from store import consents, models, people, quotas, references

routes = router("references")


@routes.post(
    "/identities/{identity_id}/references",
    status_code=201,
    response_model=References,
    responses={202: {"model": References, "description": "Received; the verdicts are not there yet."}},
    openapi_extra=scope("identities:write", max_bytes=BATCH_BYTES),
    form_limits={"max_files": FILES},
)
async def add_references(
    identity_id: str,
    request: Request,
    files: Annotated[list[UploadFile], File(description="One to twenty photos of the person.", min_length=1)],
    idempotency_key: IdempotencyKey = None,
    prefer: Annotated[str | None, Header(description="wait=N: answer when the verdicts are there.")] = None,
) -> Response:
    """Add photos of the person, of whatever quality; 202 as long as the verdicts are not there."""
    try:
        answer = await run_in_threadpool(_receive, request, identity_id, files, idempotency_key)
    except Replay as replay:
        answer = replay.answer
    ids = [shown["id"] for shown in answer.body["data"]]
    job_ids = [shown["job_id"] for shown in answer.body["data"] if shown["job_id"]]
    seconds = wait_seconds(prefer)
    if seconds and await parts_of(request).hub.until_ended(job_ids, seconds):
        answer = answer.now(201, await run_in_threadpool(_verdicts, request, ids))
    return answer.response()


def _receive(request: Request, identity_id: str, files: list[UploadFile], key: str | None) -> Answer:
    with working(request, read_only=True) as work:  # refused before a byte is decoded
        consents.require(work.session, own(work, models.Identity, identity_id), "train")
    photos = [pictures.decode(file, request) for file in files]
    with working(request) as work:
        once = begin(work, key)
        identity = own(work, models.Identity, identity_id)
        consents.require(work.session, identity, "train")
        quotas.require_references(work.session, work.tenant_id, work.parts.stored, len(photos))
        rows = [references.add(work.session, work.parts.safe, identity, photo) for photo in photos]
        work.ring("assess")
        work.audit("references.added", identity.id, count=len(rows))
        shown = References(data=[show_reference(row) for row in rows])
        return once.keep(answered(202, shown, location=f"/v1/identities/{identity_id}/references", retry_after="1"))


def _verdicts(request: Request, ids: list[str]) -> References:
    with working(request, read_only=True) as work:
        return References(data=[show_reference(own(work, models.Reference, id_)) for id_ in ids])


@routes.get(
    "/identities/{identity_id}/references", response_model=Page[Reference], openapi_extra=scope("identities:read")
)
def list_references(identity_id: str, work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Reference]:
    """List a person's photos and the verdict on each, newest first."""
    own(work, models.Identity, identity_id)
    return page(work, models.Reference, show_reference, limit, cursor, identity_id=identity_id)


@routes.get("/references/{reference_id}", response_model=Reference, openapi_extra=scope("identities:read"))
def get_reference(reference_id: str, work: Tx) -> Reference:
    """Return one photo's verdict, quality and advice."""
    return show_reference(own(work, models.Reference, reference_id))


@routes.get(
    "/references/{reference_id}/image",
    response_class=Response,
    responses=picture("The photo as it was received, upright and without metadata."),
    openapi_extra=scope("identities:read"),
)
def get_reference_image(reference_id: str, work: Tx) -> Response:
    """Return the photo itself."""
    row = own(work, models.Reference, reference_id)
    people.require_shown(work.session, work.tenant_id, [row.identity_id])
    return pictures.opened(work, row.identity_id, row.blob)


@routes.delete("/references/{reference_id}", status_code=204, openapi_extra=scope("identities:write"))
def delete_reference(reference_id: str, work: Tx) -> None:
    """Delete a photo; adapters trained with it stay until they are deleted or trained anew."""
    row = own(work, models.Reference, reference_id)
    if references.remove(work.session, row):
        work.audit("reference.deleted", reference_id)
