"""Restorations: an LQ photo in, the same photo with the person's face restored out."""

from typing import Annotated

from fastapi import Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api import pictures
from api.dependencies import IdempotencyKey, Tx, Work, begin, own, parts_of, working
from api.idempotency import Answer, Replay, answered
from api.limits import UPLOAD_BYTES
from api.live import wait_seconds
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import picture, router, scope
from api.schemas.restorations import Restoration
from api.shown import show_restoration
from api.wishes import BODY, Wish, WishOf
from store import models, people, queries, restorations
from store.photos import Picture

routes = router("restorations")
READ = scope("restorations:read")


@routes.post(
    "/restorations",
    status_code=202,
    response_model=Restoration,
    responses={200: {"model": Restoration, "description": "It ended while the request waited."}},
    openapi_extra={**scope("restorations:write", max_bytes=UPLOAD_BYTES), **BODY},
)
async def start_restoration(
    request: Request,
    wish: WishOf,
    idempotency_key: IdempotencyKey = None,
    prefer: Annotated[str | None, Header(description="wait=N: answer when it has ended.")] = None,
) -> Response:
    """Restore the named people in one photo; of the others at most what lies close to a restored face changes."""
    try:
        answer = await run_in_threadpool(_accept, request, wish, idempotency_key)
    except Replay as replay:
        answer = replay.answer
    seconds = wait_seconds(prefer)
    if seconds and await parts_of(request).hub.until_ended([answer.body["job_id"]], seconds):
        answer = answer.now(200, await run_in_threadpool(_ended, request, answer.body["id"]))
    return answer.response()


def _accept(request: Request, wish: Wish, key: str | None) -> Answer:
    photo = _decoded(request, wish, wish.image) if wish.image else None
    with working(request) as work:
        once = begin(work, key)
        row = restorations.start(work.session, work.tenant_id, _faces(work, wish), _settings(wish))
        data = photo.data if photo else _sent_ahead(work, wish.body.upload_id or "")
        restorations.keep_input(work.session, work.parts.safe, row, data, wish.body.upload_id)
        work.ring("restore")
        work.audit("restoration.started", row.id)
        shown = show_restoration(work, row)
        return once.keep(answered(202, shown, location=f"/v1/restorations/{row.id}", retry_after="1"))


def _decoded(request: Request, wish: Wish, image: UploadFile) -> Picture:
    with working(request, read_only=True) as work:  # refused before a byte is decoded
        restorations.require_consents(work.session, _faces(work, wish))
    return pictures.decode(image, request)


def _faces(work: Work, wish: Wish) -> list[restorations.Face]:
    return [
        restorations.Face(own(work, models.Identity, face.identity_id), tuple(face.box) if face.box else None)
        for face in wish.faces
    ]


def _sent_ahead(work: Work, upload_id: str) -> bytes:
    upload = own(work, models.Upload, upload_id)
    assert upload.blob is not None  # a removed upload is gone before this
    return work.parts.safe.get(work.session, work.tenant_id, upload.id, upload.blob)


def _settings(wish: Wish) -> restorations.Settings:
    kept = {"tier", "preset", "fidelity", "seed", "format", "expires_in", "deadline_seconds"}
    return restorations.Settings(**wish.body.model_dump(include=kept))


def _ended(request: Request, restoration_id: str) -> Restoration:
    with working(request, read_only=True) as work:
        return show_restoration(work, own(work, models.Restoration, restoration_id))


@routes.get("/restorations", response_model=Page[Restoration], openapi_extra=READ)
def list_restorations(work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Restoration]:
    """List the tenant's restorations, newest first."""
    return page(work, models.Restoration, lambda row: show_restoration(work, row), limit, cursor)


@routes.get("/restorations/{restoration_id}", response_model=Restoration, openapi_extra=READ)
def get_restoration(restoration_id: str, work: Tx) -> Restoration:
    """Return one restoration and its evidence."""
    return show_restoration(work, own(work, models.Restoration, restoration_id))


@routes.get(
    "/restorations/{restoration_id}/image",
    response_class=Response,
    responses=picture("The restored photo, whole."),
    openapi_extra=READ,
)
def get_restored_image(restoration_id: str, work: Tx) -> Response:
    """Return the restored photo; it is made by a model and is no evidence of identity."""
    row = _open_to_view(work, restoration_id)
    return pictures.opened(work, row.id, row.result_blob)


@routes.get(
    "/restorations/{restoration_id}/comparison",
    response_class=Response,
    responses=picture("Before and after, side by side."),
    openapi_extra=READ,
)
def get_comparison(restoration_id: str, work: Tx) -> Response:
    """Return the photo before and after, side by side."""
    row = _open_to_view(work, restoration_id)
    return pictures.opened(work, row.id, row.comparison_blob)


def _open_to_view(work: Work, restoration_id: str) -> models.Restoration:
    row = own(work, models.Restoration, restoration_id)
    faces = queries.faces(work.session, row)
    people.require_shown(work.session, work.tenant_id, [face.identity_id for face in faces])
    return row


@routes.delete("/restorations/{restoration_id}", status_code=204, openapi_extra=scope("restorations:write"))
def delete_restoration(restoration_id: str, work: Tx) -> None:
    """Delete a restoration: its job stops, its data key is destroyed, its files follow."""
    row = own(work, models.Restoration, restoration_id)
    if restorations.remove(work.session, row):
        work.audit("restoration.deleted", restoration_id)
