"""The vault: a key of its own for every owner of blobs, so that to erase somebody is to forget one key.

root key -> tenant key -> data key of an identity, a restoration or an upload -> key of one object. Objects are
AES-256-GCM in chunks; the associated data binds each chunk to tenant, owner, object name, its place and the end.
"""

import hashlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from store.errors import InsecureSettings, Shredded, Tampered
from store.models import DataKey

KEY_BYTES = 32
CHUNK_BYTES = 2**18
_MAGIC = b"IDPV1\x00"
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 12, 16
_HEADER_BYTES = len(_MAGIC) + _SALT_BYTES


@dataclass(frozen=True, repr=False)
class OwnerKey:
    """An owner's data key, opened: seals and opens that owner's blobs for as long as a job runs."""

    tenant_id: str
    owner_id: str
    secret: bytes

    def seal(self, name: str, data: bytes) -> Iterator[bytes]:
        """Yield the sealed form of an object: a header, then one piece for each chunk."""
        salt = os.urandom(_SALT_BYTES)
        cipher = self._cipher(name, salt)
        yield _MAGIC + salt
        view = memoryview(data)
        count = chunk_count(len(data))
        for index in range(count):
            chunk = view[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
            yield cipher.encrypt(_nonce(index, index == count - 1), bytes(chunk), self._bound_to(name))

    def open(self, name: str, pieces: Iterator[bytes]) -> bytes:
        """Return an object's bytes; Tampered where a bit of it, its order, its end or its name is another's."""
        blocks = _blocks(pieces)
        header = next(blocks)
        if header[: len(_MAGIC)] != _MAGIC or len(header) < _HEADER_BYTES:
            raise Tampered(f"got {name}, which does not begin with the vault's header; wanted a sealed object")
        cipher = self._cipher(name, header[len(_MAGIC) :])
        opened = io.BytesIO()  # the sealed form is never whole in memory, and what is opened only once
        try:
            chunk = next(blocks, b"")
            for index, following in enumerate(itertools.chain(blocks, [None])):
                opened.write(cipher.decrypt(_nonce(index, following is None), chunk, self._bound_to(name)))
                chunk = following or b""
        except InvalidTag:
            raise Tampered(
                f"got {name} changed since it was sealed, or moved; wanted it as it was; restore it from a backup"
            ) from None
        return opened.getvalue()

    def _cipher(self, name: str, salt: bytes) -> AESGCM:
        return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, self._bound_to(name)).derive(self.secret))

    def _bound_to(self, name: str) -> bytes:
        return "\0".join((self.tenant_id, self.owner_id, name)).encode()


class Vault:
    """Opens and makes data keys under the root keys; the first root key seals, the others only open."""

    def __init__(self, root_keys: Sequence[bytes]) -> None:
        if not root_keys or any(len(key) != KEY_BYTES for key in root_keys):
            raise InsecureSettings(f"got root keys that are not all of {KEY_BYTES} bytes, wanted one or more that are")
        self._roots = {root_id(key): key for key in root_keys}
        self._current = root_id(root_keys[0])

    def key(self, session: Session, tenant_id: str, owner_id: str) -> OwnerKey:
        """Return an owner's data key; Shredded where there is none any more."""
        row = session.get(DataKey, (tenant_id, owner_id))
        if row is None:
            raise Shredded(
                "got an object whose data key is destroyed; wanted one that still exists; it has been erased"
            )
        tenant_key = self._tenant_key(session, tenant_id)
        return OwnerKey(tenant_id, owner_id, _unwrap(tenant_key, row.wrapped, tenant_id, owner_id))

    def new_key(self, session: Session, tenant_id: str, owner_id: str) -> OwnerKey:
        """Make an owner's data key, or return the one that somebody else makes at this very moment."""
        secret = os.urandom(KEY_BYTES)
        wrapped = _wrap(self._tenant_key(session, tenant_id), secret, tenant_id, owner_id)
        if _is_first(session, DataKey(tenant_id=tenant_id, owner_id=owner_id, wrapped=wrapped)):
            return OwnerKey(tenant_id, owner_id, secret)
        return self.key(session, tenant_id, owner_id)

    def tenant_key(self, session: Session, tenant_id: str) -> OwnerKey:
        """Return the key for what belongs to the tenant itself, such as webhook secrets."""
        self._tenant_key(session, tenant_id)
        own = f"{tenant_id}-own"
        known = session.get(DataKey, (tenant_id, own))
        return self.key(session, tenant_id, own) if known else self.new_key(session, tenant_id, own)

    def rewrap(self, session: Session, tenant_id: str) -> bool:
        """Seal a tenant's key under the current root key; return whether that changed anything."""
        row = session.get(DataKey, (tenant_id, tenant_id))
        if row is None or row.root_id == self._current:
            return False
        secret = self._tenant_key(session, tenant_id)
        row.wrapped = _wrap(self._roots[self._current], secret, tenant_id, tenant_id)
        row.root_id = self._current
        session.flush()
        return True

    def signing_key(self) -> Ed25519PrivateKey:
        """Return the key that signs erasure receipts."""
        return _signing_key(self._roots[self._current])

    def public_keys(self) -> list[bytes]:
        """Return what verifies receipts: one key for each root key, for they outlive a rotation."""
        return [_signing_key(root).public_key().public_bytes_raw() for root in self._roots.values()]

    def derived(self, purpose: bytes) -> list[bytes]:
        """Return a key for a purpose of its own under each root key, the current one's first."""
        roots = [self._roots[self._current], *(root for name, root in self._roots.items() if name != self._current)]
        return [HKDF(SHA256(), KEY_BYTES, None, purpose).derive(root) for root in roots]

    def _tenant_key(self, session: Session, tenant_id: str) -> bytes:
        row = session.get(DataKey, (tenant_id, tenant_id))
        if row is None:
            return self._new_tenant_key(session, tenant_id)
        if row.root_id not in self._roots:
            raise InsecureSettings(
                f"got a tenant key sealed under root key {row.root_id}, wanted that key in IDPREFER_ROOT_KEYS; add it"
            )
        return _unwrap(self._roots[row.root_id], row.wrapped, tenant_id, tenant_id)

    def _new_tenant_key(self, session: Session, tenant_id: str) -> bytes:
        secret = os.urandom(KEY_BYTES)
        wrapped = _wrap(self._roots[self._current], secret, tenant_id, tenant_id)
        row = DataKey(tenant_id=tenant_id, owner_id=tenant_id, wrapped=wrapped, root_id=self._current)
        return secret if _is_first(session, row) else self._tenant_key(session, tenant_id)


def _is_first(session: Session, row: DataKey) -> bool:
    """Whether nobody else has made this key; whoever is doing so is waited for."""
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        return False
    return True


def destroy_keys(session: Session, tenant_id: str, owner_ids: Sequence[str]) -> int:
    """Forget owners' data keys, and with them all that they sealed; return how many there were."""
    # Not row by row as the ORM would: of two who destroy the same keys at once, the second finds none any more.
    mine = (DataKey.tenant_id == tenant_id, DataKey.owner_id.in_(owner_ids))
    watched = {"synchronize_session": "fetch"}
    session.execute(update(DataKey).where(*mine).values(wrapped=b"").execution_options(**watched))  # overwritten first
    gone = delete(DataKey).where(*mine).returning(DataKey.owner_id)
    return len(session.scalars(gone.execution_options(**watched)).all())


def root_id(key: bytes) -> str:
    """Return the short name of a root key, which tells nothing about it."""
    return hashlib.sha256(b"idprefer root\0" + key).hexdigest()[:16]


def chunk_count(size: int) -> int:
    """Return into how many chunks so many bytes go; nothing is one empty chunk."""
    return max(1, -(-size // CHUNK_BYTES))


def sealed_size(size: int) -> int:
    """Return how many bytes an object of so many bytes takes when it is sealed."""
    return _HEADER_BYTES + size + _TAG_BYTES * chunk_count(size)


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a sealed object's header, then each chunk with its tag, in whatever pieces it comes."""
    buffer, size = bytearray(), _HEADER_BYTES
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
            size = CHUNK_BYTES + _TAG_BYTES
    if buffer or size == _HEADER_BYTES:
        yield bytes(buffer)


def _signing_key(root: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(HKDF(SHA256(), KEY_BYTES, None, b"idprefer receipts").derive(root))


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(_NONCE_BYTES - 1, "big") + (b"\1" if last else b"\0")


def _wrap(key: bytes, secret: bytes, tenant_id: str, owner_id: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret, f"{tenant_id}\0{owner_id}".encode())


def _unwrap(key: bytes, wrapped: bytes, tenant_id: str, owner_id: str) -> bytes:
    try:
        return AESGCM(key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], f"{tenant_id}\0{owner_id}".encode())
    except (InvalidTag, ValueError):
        raise Tampered(f"got a data key of {owner_id} that does not open; wanted it as it was sealed") from None
