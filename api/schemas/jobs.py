"""Jobs, their events, and what starts a training."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.common import Input, Links, Moment, Output, Problem

Kind = Literal["assess", "train", "restore"]
State = Literal["queued", "running", "succeeded", "failed", "canceling", "canceled", "expired"]


class Progress(Output):
    """How far a job is."""

    phase: str
    step: int
    total: int


class Place(Output):
    """How many jobs of the lane are before this one."""

    position: int


class Job(Output):
    """A unit of work; when it has ended it has exactly one of result and error, or was canceled or expired."""

    id: str
    kind: Kind
    state: State
    identity_id: str | None
    restoration_id: str | None
    adapter_id: str | None
    reference_id: str | None
    attempt: int
    progress: Progress | None
    queue: Place | None
    error: dict[str, Any] | None
    metrics: dict[str, float]
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    deadline_at: Moment | None
    links: Links


class JobEvent(Output):
    """Something that happened to a job; `sequence` is the Last-Event-ID."""

    sequence: int
    type: str
    data: dict[str, Any]
    created_at: Moment


class NewTraining(Input):
    """How to personalize; every field has a good default."""

    preset: Literal["fast", "balanced", "best"] = "balanced"
    steps: Annotated[int, Field(ge=1, le=5000)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    activate: Annotated[bool, Field(description="Make the adapter the active one as soon as it is ready.")] = True
    deadline_seconds: Annotated[int, Field(ge=10, le=604_800)] | None = None


__all__ = ["Job", "JobEvent", "NewTraining", "Place", "Problem", "Progress"]
