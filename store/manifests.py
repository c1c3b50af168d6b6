"""A result's signed manifest: what a file says of itself, in words that only this service can have written.

It travels in the file's XMP packet and outlives the row: after an erasure, or in another container, the file still
tells its owner where it came from. It names no tenant: the owner's mark is one that only the owner's own question
can match.

    token = base64url(payload) "." base64url(Ed25519 signature over payload)
"""

import base64
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from store.vault import Vault

TYPE = "idprefer-manifest-1"
_SIGNING, _MARKING = b"idprefer manifests", b"idprefer manifest owners"


@dataclass(frozen=True)
class Claim:
    """What is claimed of one picture; the pixels' digest is that of the file as it is decoded."""

    restoration_id: str
    picture: Literal["result", "comparison"]
    pixels_sha256: str
    bundle_digest: str
    adapter_digests: list[str]
    made_at: str

    def as_dict(self) -> dict[str, Any]:
        """Return the claim as JSON knows it."""
        return asdict(self)


def this_second() -> str:
    """Return the moment as a claim writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def signed(vault: Vault, tenant_id: str, claim: Claim) -> str:
    """Return the token of a claim that a tenant's result makes."""
    mark = _mark(vault.derived(_MARKING)[0], tenant_id, claim.restoration_id)
    payload = json.dumps({"type": TYPE, **claim.as_dict(), "owner": mark}, separators=(",", ":")).encode()
    signature = _signing_keys(vault)[0].sign(payload)
    return f"{_text(payload)}.{_text(signature)}"


def read(vault: Vault, tenant_id: str, token: str) -> Claim | None:
    """Return what a token claims, if this service signed it for this tenant; None for whatever else it is."""
    try:
        payload, signature = (_bytes(part) for part in token.split("."))
    except ValueError:
        return None
    if not any(_is_by(key, payload, signature) for key in _signing_keys(vault)):
        return None
    told = json.loads(payload)  # we wrote it
    marks = [_mark(secret, tenant_id, told["restoration_id"]) for secret in vault.derived(_MARKING)]
    if told.pop("type") != TYPE or told.pop("owner") not in marks:
        return None
    return Claim(**told)


def public_keys(vault: Vault) -> list[str]:
    """Return what verifies manifests, in base64: one key for each root key, the one that signs now first."""
    return [base64.b64encode(key.public_key().public_bytes_raw()).decode() for key in _signing_keys(vault)]


def _signing_keys(vault: Vault) -> list[Ed25519PrivateKey]:
    return [Ed25519PrivateKey.from_private_bytes(secret) for secret in vault.derived(_SIGNING)]


def _is_by(key: Ed25519PrivateKey, payload: bytes, signature: bytes) -> bool:
    try:
        key.public_key().verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _mark(secret: bytes, tenant_id: str, restoration_id: str) -> str:
    """Return what marks a result as a tenant's, to nobody else: no two of a tenant's marks are alike."""
    return hmac.new(secret, f"{tenant_id}\0{restoration_id}".encode(), hashlib.sha256).hexdigest()[:32]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
