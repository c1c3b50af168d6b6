"""Uploads: photos sent ahead, to be named by a later restoration."""

from typing import Annotated

from fastapi import File, Request, Response, UploadFile

from api import pictures
from api.dependencies import IdempotencyKey, begin, working
from api.idempotency import answered
from api.limits import UPLOAD_BYTES
from api.routes.routing import router, scope
from api.schemas.references import Upload
from store import quotas, uploads

routes = router("uploads")


@routes.post(
    "/uploads",
    status_code=201,
    response_model=Upload,
    openapi_extra=scope("restorations:write", max_bytes=UPLOAD_BYTES),
    form_limits={"max_files": 1},
)
def create_upload(
    request: Request, file: Annotated[UploadFile, File()], idempotency_key: IdempotencyKey = None
) -> Response:
    """Send a photo ahead; it is deleted after a day. It is not processed before a restoration names it."""
    picture = pictures.decode(file, request)
    with working(request) as work:
        once = begin(work, idempotency_key)
        quotas.require_upload(work.session, work.tenant_id, work.parts.stored, picture)
        row = uploads.add(work.session, work.parts.safe, work.tenant_id, picture)
        work.audit("upload.received", row.id)
        return once.keep(answered(201, Upload.model_validate(row))).response()
