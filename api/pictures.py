"""Photos in and out: what comes in is decoded, checked and re-encoded; what goes out is opened from the vault."""

from fastapi import Request, Response
from starlette.datastructures import UploadFile

from api.dependencies import Work, parts_of, principal_of
from api.errors import Refusal
from api.limits import IMAGE_BYTES
from api.requests import file_sha256
from core.decoder import DecodedPhoto
from store.photos import Picture

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"RIFF": "image/webp"}


def decode(file: UploadFile, request: Request) -> Picture:
    """Return the upright pixels of an uploaded photo, without metadata, as lossless PNG."""
    sent_sha256 = file_sha256(file)
    photo = decoded(file, request)
    return Picture(photo.png, photo.width, photo.height, sent_sha256, _name(file))


def decoded(file: UploadFile, request: Request) -> DecodedPhoto:
    """Return an uploaded picture decoded in the child, with what of it may be known again."""
    size = file.size or 0
    if size == 0:
        raise Refusal(
            "unreadable_image", "got a file of 0 bytes; wanted a JPEG, PNG, WebP or HEIC photo; choose another"
        )
    if size > IMAGE_BYTES:
        detail = f"got an image of {size:,} bytes; wanted at most {IMAGE_BYTES:,}; make it smaller"
        raise Refusal("image_too_large", detail)
    return parts_of(request).decoding.decode_file(principal_of(request).tenant_id, file.file, size)


def opened(work: Work, owner_id: str, blob: str | None) -> Response:
    """Return a kept picture."""
    if blob is None:
        detail = "got a request for a picture that is not there; wanted one whose job has succeeded; wait for it"
        raise Refusal("state_conflict", detail)
    data = work.parts.safe.get(work.session, work.tenant_id, owner_id, blob)
    kind = next((kind for start, kind in _KINDS.items() if data.startswith(start)), "application/octet-stream")
    return work.parts.downloads.answer(work.tenant_id, data, kind, {"Cache-Control": "private, no-store"})


def _name(file: UploadFile) -> str | None:
    """Return the file's own name, for people to recognise it by; it is never part of a path."""
    name = "".join(letter for letter in file.filename or "" if letter.isprintable())
    return name[-200:] or None
