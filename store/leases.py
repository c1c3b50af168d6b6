"""What a worker holds while it works: the lease, and the job it is for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Word = Literal["go", "stop", "lost"]


@dataclass(frozen=True)
class Lease:
    """The right to work on a job, until somebody else has it."""

    tenant_id: str
    job_id: str
    epoch: int
    worker_id: str


@dataclass(frozen=True)
class Claim:
    """A job that is ours to do."""

    lease: Lease
    kind: str
    identity_id: str | None
    restoration_id: str | None
    adapter_id: str | None
    reference_id: str | None
    options: Mapping[str, Any]
    attempt: int
    checkpoint_blob: str | None
    checkpoint_step: int | None


@dataclass(frozen=True)
class Swept:
    """What a sweep changed: ids of jobs."""

    requeued: list[str]
    failed: list[str]
    canceled: list[str]
    expired: list[str]
