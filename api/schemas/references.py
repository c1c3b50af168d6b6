"""Reference photos and the verdict on each."""

from typing import Literal

from api.schemas.common import Moment, Output


class Reference(Output):
    """A reference photo: low quality alone is no reason to reject it; `failed` says nothing of the photo itself."""

    id: str
    identity_id: str
    state: Literal["checking", "accepted", "rejected", "failed"]
    reasons: list[str]
    advice: str | None
    quality_score: float | None
    quality_words: list[str]
    width: int
    height: int
    filename: str | None
    job_id: str | None
    created_at: Moment


class References(Output):
    """The photos that one upload brought."""

    data: list[Reference]


class Upload(Output):
    """A photo sent ahead, to be named by a later request."""

    id: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    created_at: Moment
    expires_at: Moment
