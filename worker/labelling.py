"""A picture as it leaves: its file says that a model made part of it, which one, and that it came from here, signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.decoder import pixels_sha256
from core.images import Photo, encode_photo, read_photo
from core.provenance import provenance
from store import manifests
from store.manifests import Claim
from store.vault import Vault


@dataclass(frozen=True)
class Label:
    """What is the same in all pictures of one restoration."""

    vault: Vault
    tenant_id: str
    restoration_id: str
    bundle_digest: str
    adapter_digests: Sequence[str]
    credentials: bool = False  # C2PA too


def labelled(photo: Photo, format: str, label: Label, picture: Literal["result", "comparison"]) -> tuple[bytes, str]:
    """Return a picture's file with its label in it, and the digest of the pixels that the file holds."""
    if format == "jpeg":  # which changes pixels, the same way with and without a label
        photo_in_file = read_photo(encode_photo(photo, format), limit_bytes=None)
    else:
        photo_in_file = photo
    digest = pixels_sha256(photo_in_file.pixels.shape, photo_in_file.pixels.tobytes())
    adapters = list(label.adapter_digests)
    made_at = manifests.this_second()
    claim = Claim(label.restoration_id, picture, digest, label.bundle_digest, adapters, made_at)
    token = manifests.signed(label.vault, label.tenant_id, claim)
    data = encode_photo(photo, format, provenance(label.bundle_digest, adapters, token))
    if label.credentials:
        from worker.content_credentials import with_credentials  # here: an extra, which only who wants it installs

        data = with_credentials(data, format, label.vault, token)
    return data, digest
