"""Verification: did this picture come from here?"""

from typing import Annotated

from fastapi import File, Request, UploadFile

from api import pictures
from api.dependencies import parts_of, working
from api.limits import UPLOAD_BYTES
from api.routes.routing import router, scope
from api.schemas.restorations import Verification
from core.decoder import DecodedPhoto
from store import manifests, restorations
from store.manifests import Claim
from store.vault import Vault

routes = router("verify")


@routes.post(
    "/verify",
    response_model=Verification,
    openapi_extra=scope("restorations:read", max_bytes=UPLOAD_BYTES),
    form_limits={"max_files": 1},
)
def verify_image(file: Annotated[UploadFile, File()], request: Request) -> Verification:
    """Say whether a picture is the tenant's, by its signed manifest or its exact pixels; `unknown` is not a no."""
    parts = parts_of(request)
    picture = pictures.decoded(file, request)  # first: nobody is to wait while it is decoded
    with working(request, read_only=True) as work:
        row = restorations.by_pixels(work.session, work.tenant_id, picture.pixels_sha256)
        tenant_id = work.tenant_id
    claim = _claim(parts.safe.vault, tenant_id, picture)
    if claim is not None:
        told = claim.as_dict()
        return Verification(verdict="restored_here", by="manifest", restoration_id=claim.restoration_id, details=told)
    if row is not None:
        return Verification(verdict="restored_here", by="pixel_hash", restoration_id=row.id, details=row.evidence)
    return Verification(verdict="unknown", by=None, restoration_id=None, details={})


def _claim(vault: Vault, tenant_id: str, picture: DecodedPhoto) -> Claim | None:
    """Return what the picture's manifest claims, where it is genuine, the tenant's, and of these very pixels."""
    claim = None if picture.manifest is None else manifests.read(vault, tenant_id, picture.manifest)
    return claim if claim is not None and claim.pixels_sha256 == picture.pixels_sha256 else None
