"""C2PA content credentials around the same claim as the signed manifest, for other people's readers; an option.

The certificates are made from the root key, always the same ones: a reader finds the file whole, and their issuer
unknown to it, as long as no list of trust has it.
"""

import io
from datetime import datetime
from functools import cache
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.provenance import SOFTWARE, SOURCE_TYPE
from store.vault import Vault

_ISSUING, _SIGNING = b"idprefer content credentials issuer", b"idprefer content credentials"
_FROM, _UNTIL = datetime(2026, 1, 1), datetime(2046, 1, 1)
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def with_credentials(data: bytes, format: str, vault: Vault, token: str) -> bytes:
    """Return a picture's file with content credentials that carry the manifest's token; its pixels stay."""
    told: dict[str, Any] = {
        "claim_generator_info": [{"name": SOFTWARE}],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]},
            },
            {"label": "idprefer.manifest", "data": {"token": token}},
        ],
    }
    certificates, key = _identity(vault.derived(_ISSUING)[0], vault.derived(_SIGNING)[0])
    info = c2pa.C2paSignerInfo(alg=b"ed25519", sign_cert=certificates, private_key=key, ta_url=None)
    made = io.BytesIO()
    # A thumbnail would be the picture once more, of which nobody may think when it is to be erased.
    with (
        c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}}) as context,
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(told, context) as builder,
    ):
        builder.sign(signer, f"image/{format}", io.BytesIO(data), made)
    return made.getvalue()


@cache
def _identity(issuing: bytes, signing: bytes) -> tuple[bytes, bytes]:
    """Return the chain of certificates and the signing key, as PEM."""
    issuer, signer = (Ed25519PrivateKey.from_private_bytes(secret) for secret in (issuing, signing))
    root = _certificate("issuer", issuer.public_key(), issuer, 1)
    leaf = _certificate("results", signer.public_key(), issuer, 2)
    form = serialization.Encoding.PEM
    key = signer.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return leaf.public_bytes(form) + root.public_bytes(form), key


def _certificate(name: str, key: Ed25519PublicKey, issuer: Ed25519PrivateKey, number: int) -> x509.Certificate:
    """Return the issuer's own certificate (1), or the one that it gives to the signer (2)."""
    is_issuer = number == 1
    usage = {one: one in (("key_cert_sign", "crl_sign") if is_issuer else ("digital_signature",)) for one in _USAGES}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("issuer"))
        .public_key(key)
        .serial_number(number)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(is_issuer, None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )
    if not is_issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    return builder.sign(issuer, None)


def _name(common: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, SOFTWARE), (NameOID.COMMON_NAME, f"{SOFTWARE} {common}"))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])
