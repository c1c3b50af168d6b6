"""Personalized injectors."""

from typing import Literal

from api.schemas.common import Moment, Output


class Adapter(Output):
    """A trained injector; it fits the one backbone whose digest it names."""

    id: str
    identity_id: str
    state: Literal["building", "ready", "active", "superseded", "deleted"]
    digest: str | None
    bundle: str | None
    bundle_digest: str | None
    size_bytes: int | None
    options: dict[str, object]
    metrics: dict[str, object]
    job_id: str | None
    created_at: Moment
