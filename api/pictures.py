"""Photos in and out: what comes in is decoded, checked and re-encoded; what goes out is opened from the vault."""

from fastapi import Response
from starlette.datastructures import UploadFile

from api.dependencies import Work
from api.errors import Refusal
from api.limits import IMAGE_BYTES
from api.requests import file_sha256
from core.decoder import DecodedPhoto, Decoder
from store.photos import Picture

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"RIFF": "image/webp"}


def decode(file: UploadFile, decoder: Decoder) -> Picture:
    """Return the upright pixels of an uploaded photo, without metadata, as lossless PNG."""
    sent_sha256 = file_sha256(file)
    photo = decoded(file, decoder)
    return Picture(photo.png, photo.width, photo.height, sent_sha256, _name(file))


def decoded(file: UploadFile, decoder: Decoder) -> DecodedPhoto:
    """Return an uploaded picture decoded in the child, with what of it may be known again."""
    size = file.size or 0
    if size == 0:
        raise Refusal(
            "unreadable_image", "got a file of 0 bytes; wanted a JPEG, PNG, WebP or HEIC photo; choose another"
        )
    if size > IMAGE_BYTES:
        detail = f"got an image of {size:,} bytes; wanted at most {IMAGE_BYTES:,}; make it smaller"
        raise Refusal("image_too_large", detail)
    return decoder.decode_file(file.file, size)


def opened(work: Work, owner_id: str, blob: str | None) -> Response:
    """Return a kept picture."""
    if blob is None:
        detail = "got a request for a picture that is not there; wanted one whose job has succeeded; wait for it"
        raise Refusal("state_conflict", detail)
    data = work.parts.safe.get(work.session, work.tenant_id, owner_id, blob)
    kind = next((kind for start, kind in _KINDS.items() if data.startswith(start)), "application/octet-stream")
    return Response(data, media_type=kind, headers={"Cache-Control": "private, no-store"})


def _name(file: UploadFile) -> str | None:
    """Return the file's own name, for people to recognise it by; it is never part of a path."""
    name = "".join(letter for letter in file.filename or "" if letter.isprintable())
    return name[-200:] or None
