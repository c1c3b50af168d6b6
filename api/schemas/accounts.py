"""The tenant's own things: keys, usage, audit, erasures, the studio's session."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.common import Input, Moment, Name, Output, Seconds

Scope = Literal[
    "identities:read",
    "identities:write",
    "restorations:read",
    "restorations:write",
    "adapters:export",
    "adapters:import",
    "webhooks:admin",
    "keys:admin",
    "audit:read",
    "admin",
]


class NewApiKey(Input):
    """A key to make: what for, what it may do, how long."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=20)]
    expires_in: Seconds | None = None


class ApiKey(Output):
    """A key, without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None
    revoked_at: Moment | None


class ApiKeyWithSecret(ApiKey):
    """A key with the text to send as Bearer, shown this once and never again."""

    key: str | None = Field(description="Null in a replay: it is kept nowhere.")


class KeyRotation(Input):
    """For how long the old key works beside the new one."""

    overlap_seconds: Annotated[int, Field(ge=0, le=604_800)] = 3600


class UsageLine(Output):
    """What one kind of work took in the period."""

    kind: str
    count: int
    compute_seconds: float


class Usage(Output):
    """What the tenant used, and what it may."""

    since: Moment
    until: Moment
    lines: list[UsageLine]
    quotas: dict[str, int | None]


class Retention(Output):
    """For how many days a tenant's things are kept, at most; null: until somebody deletes them, uploads for a day.

    References count from when they were added, results from the end of their job, uploads from when they came, adapters
    and identities from when they were last used. The audit log, receipts and tombstones are kept.
    """

    references_days: int | None
    restorations_days: int | None
    uploads_days: int | None
    unused_adapters_days: int | None
    unused_identities_days: int | None


class AuditEvent(Output):
    """One link of the tenant's append-only, hash-chained log."""

    id: str
    sequence: int
    action: str
    actor: str
    target: str | None
    details: dict[str, Any]
    hash: str
    previous_hash: str
    created_at: Moment


class Erasure(Output):
    """An erasure on its way, and its signed receipt when it is done."""

    id: str
    identity_id: str | None
    state: Literal["queued", "running", "verifying", "completed", "failed"]
    reason: str
    receipt: dict[str, Any] | None
    created_at: Moment
    finished_at: Moment | None


class Session(Output):
    """Who the studio works as; unsafe requests carry csrf_token as X-CSRF-Token."""

    tenant_id: str
    key_id: str
    scopes: list[str]
    csrf_token: str
    expires_at: Moment
