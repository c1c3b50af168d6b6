"""Verification: did this picture come from here?"""

from typing import Annotated

from fastapi import File, Request, UploadFile

from api import pictures
from api.dependencies import parts_of, working
from api.limits import UPLOAD_BYTES
from api.routes.routing import router, scope
from api.schemas.restorations import Verification
from store import restorations

routes = router("verify")


@routes.post(
    "/verify",
    response_model=Verification,
    openapi_extra=scope("restorations:read", max_bytes=UPLOAD_BYTES),
    form_limits={"max_files": 1},
)
def verify_image(file: Annotated[UploadFile, File()], request: Request) -> Verification:
    """Say whether a picture is one of the tenant's results, by its exact pixels; `unknown` is not a no."""
    digest = pictures.pixels_sha256(file, parts_of(request).decoder)  # first: nobody is to wait while it is decoded
    with working(request, read_only=True) as work:
        row = restorations.by_pixels(work.session, work.tenant_id, digest)
    if row is None:
        return Verification(verdict="unknown", by=None, restoration_id=None, details={})
    return Verification(verdict="restored_here", by="pixel_hash", restoration_id=row.id, details=row.evidence)
