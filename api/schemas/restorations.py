"""Restorations: one photo, the people to restore in it, the evidence."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.schemas.common import Identifier, Input, Moment, Output, Seconds

Tier = Literal["auto", "instant", "personalized"]
Fidelity = Annotated[float, Field(ge=0, le=1, description="0: most like the references, 1: most like the input.")]
Kept = Annotated[Seconds, Field(description="Seconds from completion to deletion; only ever shorter.")]


class FaceChoice(Input):
    """One person to restore, and where they are if that should not be searched."""

    identity_id: Identifier
    box: Annotated[
        list[Annotated[float, Field(ge=0, le=10_000)]] | None,
        Field(min_length=4, max_length=4, description="x0 y0 x1 y1 in pixels of the upright photo."),
    ] = None


class NewRestoration(Input):
    """What to restore; send it as JSON with upload_id, or as form fields beside the file `image`."""

    upload_id: Identifier | None = None
    identity_id: Identifier | None = None
    faces: Annotated[list[FaceChoice], Field(min_length=1, max_length=8)] | None = None
    tier: Tier = "auto"
    preset: Literal["fast", "balanced", "best"] = "balanced"
    fidelity: Fidelity | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    format: Literal["png", "jpeg", "webp"] = "png"
    expires_in: Kept | None = None
    deadline_seconds: Annotated[int, Field(ge=5, le=604_800)] | None = None


class RestorationFace(Output):
    """One person in the photo: where, restored with what, and how alike before and after."""

    identity_id: str
    adapter_id: str | None
    box: list[float] | None
    evidence: dict[str, Any]


class Restoration(Output):
    """A restored photo; it is made by a model and is no evidence of identity."""

    id: str
    state: Literal["queued", "running", "succeeded", "failed", "canceling", "canceled", "expired"]
    job_id: str
    tier: Literal["auto", "instant", "personalized"]
    tier_used: Literal["instant", "personalized"] | None
    upgrade_available: bool
    seed: int
    fidelity: float | None
    faces: list[RestorationFace]
    evidence: dict[str, Any]
    error: dict[str, Any] | None
    image_url: str | None
    comparison_url: str | None
    created_at: Moment
    finished_at: Moment | None
    expires_at: Moment | None


class ManifestKeys(BaseModel):
    """The Ed25519 keys that may have signed a picture's manifest, in base64; the first one signs now."""

    type: str
    keys: list[str]


class Verification(Output):
    """Whether a picture came from here, as far as its owner may know; never a plain no.

    By `manifest` the details are what the file says of itself, signed; by `pixel_hash` they are the row's evidence.
    """

    verdict: Literal["restored_here", "unknown"]
    by: Literal["manifest", "pixel_hash"] | None
    restoration_id: str | None
    details: dict[str, Any]
