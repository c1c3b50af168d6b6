"""The safe: blobs that only the vault's keys can read."""

import secrets
from dataclasses import dataclass

from sqlalchemy.orm import Session

from store.blobs import Blobs
from store.errors import Tampered
from store.models import DataKey
from store.vault import OwnerKey, Vault, sealed_size


@dataclass(frozen=True)
class Safe:
    """Blobs behind the vault; `key`, `read` and `write` keep a transaction short, `get` and `put` do both in one."""

    vault: Vault
    blobs: Blobs

    def key(self, session: Session, tenant_id: str, owner_id: str) -> OwnerKey:
        """Return an owner's data key."""
        return self.vault.key(session, tenant_id, owner_id)

    def write(self, key: OwnerKey, kind: str, object_name: str, data: bytes) -> str:
        """Seal and write an object; return its name, which nobody can guess and no other object has."""
        name = f"{key.tenant_id}/{key.owner_id}/{kind}/{object_name}-{secrets.token_hex(8)}"
        self.blobs.put(name, lambda: key.seal(name, data), sealed_size(len(data)))
        return name

    def read(self, key: OwnerKey, name: str) -> bytes:
        """Return an object's bytes; Tampered where they are not this owner's."""
        if not name.startswith(f"{key.tenant_id}/{key.owner_id}/"):
            raise Tampered(f"got {name}, which is not of {key.owner_id}; wanted one of its own objects")
        return key.open(name, self.blobs.get(name))

    def drop(self, name: str) -> None:
        """Delete an object."""
        self.blobs.delete(name)

    def get(self, session: Session, tenant_id: str, owner_id: str, blob: str) -> bytes:
        """Return an object's bytes."""
        return self.read(self.key(session, tenant_id, owner_id), blob)

    def put(self, session: Session, tenant_id: str, owner_id: str, kind: str, object_name: str, data: bytes) -> str:
        """Seal and write an object, under the owner's key or a new one; return its name."""
        known = session.get(DataKey, (tenant_id, owner_id))
        make = self.vault.key if known else self.vault.new_key
        return self.write(make(session, tenant_id, owner_id), kind, object_name, data)


def prefix_of(tenant_id: str, owner_id: str) -> str:
    """Return what the names of all of an owner's objects begin with."""
    return f"{tenant_id}/{owner_id}/"
