"""Restorations: a bad photo in, the same photo with the person's face restored out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from idprefer_client.people import Photo, as_part, given
from idprefer_client.records import Restoration, Upload, Verification
from idprefer_client.transport import Sending, Transport


class Restorations:
    """Photos restored, or on their way."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        photo: Photo | Upload,
        identity_id: str | None = None,
        faces: Sequence[Mapping[str, Any]] | None = None,
        wait_seconds: int = 0,
        **options: Any,
    ) -> Restoration:
        """Restore one person, or several `faces` of {identity_id, box}; options: tier, preset, fidelity, seed, ..."""
        wish = given(identity_id=identity_id, faces=list(faces) if faces else None, **options)
        if isinstance(photo, Upload):
            sending = Sending(json={**wish, "upload_id": photo.id}, wait_seconds=wait_seconds)
        else:
            fields = {name: _as_text(value) for name, value in wish.items()}
            sending = Sending(data=fields, files=[("image", as_part(photo))], wait_seconds=wait_seconds)
        return self._transport.post(Restoration, "/v1/restorations", sending)

    def get(self, restoration_id: str) -> Restoration:
        """Return one restoration and its evidence."""
        return self._transport.get(Restoration, f"/v1/restorations/{restoration_id}")

    def list(self) -> Iterator[Restoration]:
        """Return all restorations, newest first."""
        return self._transport.all(Restoration, "/v1/restorations")

    def image(self, restoration_id: str) -> bytes:
        """Return the restored photo."""
        return self._transport.bytes(f"/v1/restorations/{restoration_id}/image")

    def comparison(self, restoration_id: str) -> bytes:
        """Return the photo before and after, side by side."""
        return self._transport.bytes(f"/v1/restorations/{restoration_id}/comparison")

    def delete(self, restoration_id: str) -> None:
        """Delete a restoration and its pictures."""
        self._transport.delete(f"/v1/restorations/{restoration_id}")

    def upload(self, photo: Photo) -> Upload:
        """Send a photo ahead, to be named by a later restoration; it is deleted after a day."""
        return self._transport.post(Upload, "/v1/uploads", Sending(files=[("file", as_part(photo))]))

    def verify(self, picture: Photo) -> Verification:
        """Say whether a picture is one of the tenant's results."""
        return self._transport.post(Verification, "/v1/verify", Sending(files=[("file", as_part(picture))]))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
