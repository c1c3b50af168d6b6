"""Identities and what hangs on them: consents, reference photos, trainings, adapters."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from idprefer_client.records import Adapter, Consent, Erasure, Identity, Job, Reference, Withdrawn, read
from idprefer_client.transport import Sending, Transport

Photo: TypeAlias = Path | bytes


class Identities:
    """People whose photos are restored."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, retention_seconds: int | None = None) -> Identity:
        """Create a person; then record their consent, and add photos."""
        body = given(name=name, retention_seconds=retention_seconds)
        return self._transport.post(Identity, "/v1/identities", Sending(json=body))

    def get(self, identity_id: str) -> Identity:
        """Return one person."""
        return self._transport.get(Identity, f"/v1/identities/{identity_id}")

    def list(self) -> Iterator[Identity]:
        """Return all people, newest first."""
        return self._transport.all(Identity, "/v1/identities")

    def update(self, identity_id: str, name: str | None = None, retention_seconds: int | None = None) -> Identity:
        """Rename a person, or shorten how long their things are kept."""
        changes = given(name=name, retention_seconds=retention_seconds)
        return self._transport.patch(Identity, f"/v1/identities/{identity_id}", changes)

    def erase(self, identity_id: str) -> Erasure:
        """Erase a person and everything derived from them; the receipt comes with the erasure."""
        return read(Erasure, self._transport.request("DELETE", f"/v1/identities/{identity_id}").json())


class Consents:
    """Who agreed to what; nothing is processed without a live record."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def record(self, identity_id: str, **agreement: Any) -> Consent:
        """Record a consent: subject, attested_by, method, purposes, text, text_version, jurisdiction."""
        return self._transport.post(Consent, f"/v1/identities/{identity_id}/consents", Sending(json=agreement))

    def list(self, identity_id: str) -> Iterator[Consent]:
        """Return a person's consent records, newest first."""
        return self._transport.all(Consent, f"/v1/identities/{identity_id}/consents")

    def withdraw(self, consent_id: str, purposes: Sequence[str] | None = None, reason: str | None = None) -> Withdrawn:
        """Withdraw purposes, all of them if none is named; without train or restore their things are erased."""
        body = given(purposes=list(purposes) if purposes else None, reason=reason)
        return self._transport.post(Withdrawn, f"/v1/consents/{consent_id}/withdraw", Sending(json=body))


class References:
    """Reference photos, of whatever quality."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(self, identity_id: str, photos: Sequence[Photo], wait_seconds: int = 0) -> list[Reference]:
        """Add up to twenty photos; with wait_seconds the verdicts are there unless it took longer."""
        files = [("files", as_part(photo)) for photo in photos]
        sending = Sending(files=files, wait_seconds=wait_seconds)
        answer = self._transport.request("POST", f"/v1/identities/{identity_id}/references", sending)
        return [read(Reference, item) for item in answer.json()["data"]]

    def get(self, reference_id: str) -> Reference:
        """Return one photo's verdict, quality and advice."""
        return self._transport.get(Reference, f"/v1/references/{reference_id}")

    def list(self, identity_id: str) -> Iterator[Reference]:
        """Return a person's photos, newest first."""
        return self._transport.all(Reference, f"/v1/identities/{identity_id}/references")

    def image(self, reference_id: str) -> bytes:
        """Return the photo itself."""
        return self._transport.bytes(f"/v1/references/{reference_id}/image")

    def delete(self, reference_id: str) -> None:
        """Delete a photo."""
        self._transport.delete(f"/v1/references/{reference_id}")


class Trainings:
    """Jobs that make an adapter."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def start(self, identity_id: str, wait_seconds: int = 0, **options: Any) -> Job:
        """Personalize; the options are preset, steps, seed, activate, deadline_seconds."""
        sending = Sending(json=options, wait_seconds=wait_seconds)
        return self._transport.post(Job, f"/v1/identities/{identity_id}/trainings", sending)

    def list(self, identity_id: str) -> Iterator[Job]:
        """Return a person's trainings, newest first."""
        return self._transport.all(Job, f"/v1/identities/{identity_id}/trainings")


class Adapters:
    """What trainings made."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, identity_id: str) -> Iterator[Adapter]:
        """Return a person's adapters, newest first."""
        return self._transport.all(Adapter, f"/v1/identities/{identity_id}/adapters")

    def get(self, adapter_id: str) -> Adapter:
        """Return one adapter."""
        return self._transport.get(Adapter, f"/v1/adapters/{adapter_id}")

    def activate(self, adapter_id: str) -> Adapter:
        """Make this the adapter that restorations of the person use."""
        return self._transport.post(Adapter, f"/v1/adapters/{adapter_id}/activate")

    def download(self, adapter_id: str) -> bytes:
        """Return the adapter's safetensors file; an erasure cannot recall it."""
        return self._transport.bytes(f"/v1/adapters/{adapter_id}/download")

    def bring(self, identity_id: str, adapter: Photo) -> Adapter:
        """Import an adapter file."""
        _, data, _ = as_part(adapter)
        files = [("file", ("adapter.safetensors", data, "application/octet-stream"))]
        return self._transport.post(Adapter, f"/v1/identities/{identity_id}/adapters/import", Sending(files=files))

    def delete(self, adapter_id: str) -> None:
        """Delete an adapter and its file."""
        self._transport.delete(f"/v1/adapters/{adapter_id}")


def as_part(photo: Photo) -> tuple[str, bytes, str]:
    """Return a file as a part of a form: its name, its bytes (read once, so that they can be sent again), its type."""
    if isinstance(photo, Path):
        return photo.name, photo.read_bytes(), "application/octet-stream"
    return "photo", photo, "application/octet-stream"


def given(**fields: Any) -> Mapping[str, Any]:
    """Return the fields that the caller gave."""
    return {name: value for name, value in fields.items() if value is not None}
