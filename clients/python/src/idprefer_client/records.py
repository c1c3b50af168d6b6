"""What the service answers, as frozen records; fields that a newer service adds are passed over."""

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

Record = TypeVar("Record")


def read(record: type[Record], data: Any) -> Record:
    """Return a record read from parsed JSON."""
    hints = typing.get_type_hints(record)
    known = [field.name for field in fields(cast(Any, record)) if field.name in data]
    return record(**{name: _value(hints[name], data[name]) for name in known})


def _value(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(hint, types.UnionType):
        return _value(next(arm for arm in hint.__args__ if arm is not types.NoneType), value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if is_dataclass(hint):
        return read(cast(type[Any], hint), value)
    if typing.get_origin(hint) is list:
        return [_value(typing.get_args(hint)[0], item) for item in value]
    return value


@dataclass(frozen=True)
class Identity:
    """A person whose photos are restored."""

    id: str
    name: str
    state: str
    active_adapter_id: str | None
    retention_seconds: int | None
    created_at: datetime


@dataclass(frozen=True)
class Consent:
    """A record of who agreed to what."""

    id: str
    identity_id: str
    subject: str
    attested_by: str
    method: str
    purposes: list[str]
    text_version: str
    text_sha256: str
    policy_sha256: str | None
    jurisdiction: str
    created_at: datetime
    expires_at: datetime | None
    withdrawn_at: datetime | None


@dataclass(frozen=True)
class Withdrawn:
    """A withdrawn consent, and the erasure that it started, if any."""

    consent: Consent
    erasure_id: str | None


@dataclass(frozen=True)
class Reference:
    """A reference photo and the verdict on it."""

    id: str
    identity_id: str
    state: str
    reasons: list[str]
    advice: str | None
    quality_score: float | None
    quality_words: list[str]
    width: int
    height: int
    filename: str | None
    job_id: str | None
    created_at: datetime


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    phase: str
    step: int
    total: int


@dataclass(frozen=True)
class Job:
    """A unit of work."""

    id: str
    kind: str
    state: str
    identity_id: str | None
    restoration_id: str | None
    adapter_id: str | None
    reference_id: str | None
    attempt: int
    progress: Progress | None
    error: Mapping[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in {"succeeded", "failed", "canceled", "expired"}


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job; its sequence number is where a broken stream resumes."""

    sequence: int
    type: str
    data: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class Adapter:
    """A trained injector."""

    id: str
    identity_id: str
    state: str
    digest: str | None
    bundle: str | None
    bundle_digest: str | None
    size_bytes: int | None
    metrics: Mapping[str, Any]
    job_id: str | None
    created_at: datetime


@dataclass(frozen=True)
class Upload:
    """A photo sent ahead."""

    id: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class RestorationFace:
    """One person in a restored photo."""

    identity_id: str
    adapter_id: str | None
    box: list[float] | None
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Restoration:
    """A restored photo, or one on its way."""

    id: str
    state: str
    job_id: str
    tier: str
    tier_used: str | None
    upgrade_available: bool
    seed: int
    fidelity: float | None
    faces: list[RestorationFace]
    evidence: Mapping[str, Any]
    error: Mapping[str, Any] | None
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Verification:
    """Whether a picture came from the service; `unknown` is not a no."""

    verdict: str
    by: str | None
    restoration_id: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Erasure:
    """An erasure on its way, and its signed receipt when it is done."""

    id: str
    identity_id: str | None
    state: str
    reason: str
    receipt: Mapping[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class ApiKey:
    """A key; its text is there only in the answer that made it."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    key: str | None = None


@dataclass(frozen=True)
class WebhookEndpoint:
    """Where events are sent; its secret is there only in the answer that made it."""

    id: str
    url: str
    events: list[str]
    description: str | None
    enabled: bool
    created_at: datetime
    secret: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint."""

    id: str
    endpoint_id: str
    event_type: str
    state: str
    attempt: int
    response_status: int | None
    error: str | None
    created_at: datetime


@dataclass(frozen=True)
class UsageLine:
    """What one kind of work took."""

    kind: str
    count: int
    compute_seconds: float


@dataclass(frozen=True)
class Usage:
    """What the tenant used in a period, and what it may."""

    since: datetime
    until: datetime
    lines: list[UsageLine]
    quotas: Mapping[str, int | None]


@dataclass(frozen=True)
class AuditEvent:
    """One link of the tenant's append-only log."""

    id: str
    sequence: int
    action: str
    actor: str
    target: str | None
    details: Mapping[str, Any]
    created_at: datetime
