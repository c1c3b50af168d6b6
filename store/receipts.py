"""Statements that are signed: an erasure's receipt, and its line in the erasure ledger."""

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from store.vault import Vault


def signed(vault: Vault, statement: Mapping[str, Any]) -> dict[str, Any]:
    """Return a statement with its signature and the key that verifies it."""
    key = vault.signing_key()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    full = {**statement, "algorithm": "Ed25519", "public_key": public}
    return {**full, "signature": base64.b64encode(key.sign(_canonical(full))).decode()}


def is_genuine(receipt: Mapping[str, Any], public_keys: Collection[bytes] | None = None) -> bool:
    """Whether a statement is what the holder of its key signed; that key must be one of those given, if any are."""
    statement = {name: value for name, value in receipt.items() if name != "signature"}
    try:
        public = base64.b64decode(receipt["public_key"], validate=True)
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(base64.b64decode(receipt["signature"], validate=True), _canonical(statement))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return public_keys is None or public in public_keys


def _canonical(statement: Mapping[str, Any]) -> bytes:
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
