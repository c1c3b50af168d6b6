"""Photos in and out: what comes in is decoded, checked and re-encoded; what goes out is opened from the vault."""

import hashlib

from fastapi import Response, UploadFile

from api.dependencies import Work
from api.errors import Refusal
from api.limits import IMAGE_BYTES
from core.images import encode_photo, read_photo
from store.photos import Picture


def decode(file: UploadFile) -> Picture:
    """Return the upright pixels of an uploaded photo, without metadata, as lossless PNG."""
    data = file.file.read(IMAGE_BYTES + 1)
    if not data:
        raise Refusal("unreadable_image", "got a file of 0 bytes; wanted a JPEG, PNG, WebP or HEIC photo; choose another")
    photo = read_photo(data)
    width, height = photo.size
    return Picture(encode_photo(photo, "png"), width, height, hashlib.sha256(data).hexdigest(), _name(file))


def pixels_sha256(file: UploadFile) -> str:
    """Return the digest of a picture's pixels, by which a result is known again."""
    pixels = read_photo(file.file.read(IMAGE_BYTES + 1)).pixels
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def opened(work: Work, owner_id: str, blob: str | None) -> Response:
    """Return a kept picture."""
    if blob is None:
        raise Refusal("state_conflict", "got a request for a picture that is not there yet; wait for the job to succeed")
    data = work.parts.safe.get(work.session, work.tenant_id, owner_id, blob)
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    return Response(data, media_type=kind, headers={"Cache-Control": "private, no-store"})


def _name(file: UploadFile) -> str | None:
    """Return the file's own name, for people to recognise it by; it is never part of a path."""
    name = "".join(letter for letter in file.filename or "" if letter.isprintable())
    return name[-200:] or None
