"""The tables. Every row of a tenant has the key (tenant_id, id), and every reference carries the tenant with it.

Where a state follows from other rows it is derived from them (at the end), never kept beside them: it cannot drift.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, ForeignKey, Index, LargeBinary, UniqueConstraint, case, exists, select, text
from sqlalchemy.orm import Mapped, aliased, column_property, mapped_column, relationship

from store.columns import Base, Instant, Owned, Removable, now, one
from store.ids import new_id
from store.job_models import ENDED as ENDED
from store.job_models import HELD as HELD
from store.job_models import LANES as LANES
from store.job_models import LIVE as LIVE
from store.job_models import Eviction as Eviction
from store.job_models import Job as Job
from store.job_models import JobEvent as JobEvent
from store.job_models import OutboxEvent as OutboxEvent
from store.job_models import TenantLane as TenantLane
from store.job_models import TenantShare as TenantShare
from store.job_models import Worker as Worker

_KEPT: dict[str, Any] = {"sqlite_where": text("removed_at IS NULL"), "postgresql_where": text("removed_at IS NULL")}
"""Tombstones are left out of an index: what a tenant has is counted with each photo."""


class Tenant(Base):
    """A customer of the service, and for how many days its things are kept (None: until somebody deletes them)."""

    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ten"))
    name: Mapped[str]
    references_days: Mapped[int | None]  # from when a photo was added
    restorations_days: Mapped[int | None]  # from the end of the job
    uploads_days: Mapped[int | None]  # from when a photo was sent ahead; None: one day
    unused_adapters_days: Mapped[int | None]  # from the last restoration with it
    unused_identities_days: Mapped[int | None]  # from when anything of the person was last used
    created_at: Mapped[datetime] = mapped_column(Instant, default=now())
    share: Mapped["TenantShare"] = relationship(lazy="joined", innerjoin=True)


class ApiKey(Owned):
    """A key, of whose secret only the hash is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("id"),)
    prefix = "key"
    name: Mapped[str]
    scopes: Mapped[list[str]]
    secret_hash: Mapped[str]
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    last_used_at: Mapped[datetime | None] = mapped_column(Instant)
    revoked_at: Mapped[datetime | None] = mapped_column(Instant)


class ClosedSession(Base):
    """A session of the studio that was closed before its time; remembered until its cookie would have ended anyway."""

    __tablename__ = "closed_sessions"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    nonce: Mapped[str] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(Instant)


class DataKey(Base):
    """The key that seals one owner's blobs, itself sealed; without this row they are noise."""

    __tablename__ = "data_keys"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    owner_id: Mapped[str] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    root_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Instant, default=now())


class Identity(Owned):
    """A person: photos, adapters and restorations hang on this. `state` and `active_adapter_id` are derived."""

    __tablename__ = "identities"
    prefix = "idn"
    name: Mapped[str]
    retention_seconds: Mapped[int | None]
    last_active_at: Mapped[datetime] = mapped_column(Instant, default=now())
    held_at: Mapped[datetime | None] = mapped_column(Instant)
    erasing_at: Mapped[datetime | None] = mapped_column(Instant)
    erased_at: Mapped[datetime | None] = mapped_column(Instant)
    if TYPE_CHECKING:
        state: Mapped[str]
        active_adapter_id: Mapped[str | None]


class Consent(Owned):
    """Who agreed to what; `purposes` are those that are still agreed to."""

    __tablename__ = "consents"
    __table_args__ = (one("identity_id", "identities"), Index(None, "tenant_id", "identity_id"))
    prefix = "con"
    identity_id: Mapped[str]
    subject: Mapped[str]
    attested_by: Mapped[str]
    method: Mapped[str]
    purposes: Mapped[list[str]]
    text_version: Mapped[str]
    text_sha256: Mapped[str]
    policy_sha256: Mapped[str | None]  # of docs/use-policy.md; None: from before there was one
    jurisdiction: Mapped[str]
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    withdrawn_at: Mapped[datetime | None] = mapped_column(Instant)
    withdrawal_reason: Mapped[str | None]


class Reference(Owned, Removable):
    """A reference photo and the verdict on it; `face_blob` is what the assessor found, sealed. `state` is derived."""

    __tablename__ = "reference_photos"
    __table_args__ = (
        one("identity_id", "identities"),
        Index(None, "tenant_id", "identity_id"),
        Index("ix_reference_photos_kept", "tenant_id", **_KEPT),
    )
    prefix = "ref"
    identity_id: Mapped[str]
    verdict: Mapped[str] = mapped_column("state", default="checking")
    reasons: Mapped[list[str]] = mapped_column(default=list)
    advice: Mapped[str | None]
    quality_score: Mapped[float | None]
    quality_words: Mapped[list[str]] = mapped_column(default=list)
    width: Mapped[int]
    height: Mapped[int]
    filename: Mapped[str | None]
    sha256: Mapped[str | None]
    blob: Mapped[str | None]
    face_blob: Mapped[str | None]
    job_id: Mapped[str | None]  # without a foreign key: the job already points here
    if TYPE_CHECKING:
        state: Mapped[str]


class Adapter(Owned, Removable):
    """A trained injector; without a blob it is being built. `state` is derived."""

    __tablename__ = "adapters"
    __table_args__ = (
        one("identity_id", "identities"),
        Index(
            "uq_adapters_active", "tenant_id", "identity_id", unique=True,
            sqlite_where=text("active"), postgresql_where=text("active"),
        ),
        Index(None, "tenant_id", "identity_id"),
    )  # fmt: skip
    prefix = "adp"
    identity_id: Mapped[str]
    job_id: Mapped[str | None]  # without a foreign key: the job already points here
    blob: Mapped[str | None]
    digest: Mapped[str | None]
    bundle: Mapped[str | None]
    bundle_digest: Mapped[str | None]
    size_bytes: Mapped[int | None]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    active: Mapped[bool] = mapped_column(default=False)
    activated_at: Mapped[datetime | None] = mapped_column(Instant)
    if TYPE_CHECKING:
        state: Mapped[str]


class Upload(Owned, Removable):
    """A photo sent ahead."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_kept", "tenant_id", "size_bytes", **_KEPT),)
    prefix = "upl"
    width: Mapped[int]
    height: Mapped[int]
    size_bytes: Mapped[int]
    sha256: Mapped[str | None]
    blob: Mapped[str | None]
    expires_at: Mapped[datetime] = mapped_column(Instant)


class Restoration(Owned, Removable):
    """One photo to restore, and what became of it; its state is its job's."""

    __tablename__ = "restorations"
    __table_args__ = (Index(None, "tenant_id", "pixels_sha256"),)
    prefix = "res"
    job_id: Mapped[str]  # without a foreign key: the job already points here
    tier: Mapped[str]
    tier_used: Mapped[str | None]
    preset: Mapped[str]
    fidelity: Mapped[float | None]
    seed: Mapped[int]
    format: Mapped[str]
    expires_in: Mapped[int | None]
    input_blob: Mapped[str | None]
    result_blob: Mapped[str | None]
    comparison_blob: Mapped[str | None]
    pixels_sha256: Mapped[str | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(default=dict)
    expires_at: Mapped[datetime | None] = mapped_column(Instant)


class RestorationFace(Base):
    """One person in a restoration."""

    __tablename__ = "restoration_faces"
    __table_args__ = (
        one("restoration_id", "restorations"),
        one("identity_id", "identities"),
        one("adapter_id", "adapters"),
        Index(None, "tenant_id", "identity_id"),
        Index(None, "tenant_id", "adapter_id"),
    )
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    restoration_id: Mapped[str] = mapped_column(primary_key=True)
    identity_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    adapter_id: Mapped[str | None]
    box: Mapped[list[float] | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(default=dict)


class IdempotencyKey(Base):
    """A request that had its effect, and its answer."""

    __tablename__ = "idempotency_keys"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[dict[str, Any] | None]
    headers: Mapped[dict[str, Any] | None]
    expires_at: Mapped[datetime] = mapped_column(Instant)


class WebhookEndpoint(Owned):
    """Where a tenant wants to be told; the secrets are sealed."""

    __tablename__ = "webhook_endpoints"
    prefix = "whe"
    url: Mapped[str]
    events: Mapped[list[str]]
    description: Mapped[str | None]
    enabled: Mapped[bool] = mapped_column(default=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_until: Mapped[datetime | None] = mapped_column(Instant)


class WebhookDelivery(Owned):
    """One event on its way to one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (one("endpoint_id", "webhook_endpoints", "CASCADE"), Index(None, "tenant_id", "endpoint_id"))
    prefix = "dlv"
    endpoint_id: Mapped[str]
    event_id: Mapped[str]
    event_type: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="pending")
    attempt: Mapped[int] = mapped_column(default=0)
    response_status: Mapped[int | None]
    error: Mapped[str | None]
    next_attempt_at: Mapped[datetime | None] = mapped_column(Instant)
    delivered_at: Mapped[datetime | None] = mapped_column(Instant)


class AuditHead(Base):
    """The last link of a tenant's chain; locked while the next one is forged."""

    __tablename__ = "audit_heads"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(default=0)
    hash: Mapped[str]


class AuditEvent(Owned):
    """One link of a tenant's append-only chain."""

    __tablename__ = "audit_events"
    __table_args__ = (UniqueConstraint("tenant_id", "sequence"),)
    prefix = "aud"
    sequence: Mapped[int]
    action: Mapped[str]
    actor: Mapped[str]
    target: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    hash: Mapped[str]
    previous_hash: Mapped[str]


class Erasure(Owned):
    """An erasure on its way, and its signed receipt."""

    __tablename__ = "erasures"
    __table_args__ = (one("identity_id", "identities"),)
    prefix = "era"
    identity_id: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="queued")
    reason: Mapped[str]
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    eviction: Mapped[int | None]
    receipt: Mapped[dict[str, Any] | None]
    finished_at: Mapped[datetime | None] = mapped_column(Instant)


class UsageRecord(Owned):
    """What one run of a job took."""

    __tablename__ = "usage_records"
    __table_args__ = (Index(None, "tenant_id", "created_at"),)
    prefix = "use"
    kind: Mapped[str]
    job_id: Mapped[str]
    compute_seconds: Mapped[float]


def _derive_states() -> None:
    """Give identities, photos and adapters the states that follow from other rows."""
    owner = aliased(Adapter)
    active = select(owner.id).where(
        owner.tenant_id == Identity.tenant_id, owner.identity_id == Identity.id, owner.active.is_(True)
    )
    Identity.active_adapter_id = column_property(active.correlate(Identity).scalar_subquery())
    mine = [
        (table.tenant_id == Identity.tenant_id) & (table.identity_id == Identity.id)
        for table in (Consent, Job, Reference)
    ]
    consents, jobs, references = mine
    live = consents & Consent.withdrawn_at.is_(None) & (Consent.expires_at.is_(None) | (Consent.expires_at > now()))
    training = jobs & (Job.kind == "train") & Job.state.in_(LIVE)
    accepted = references & (Reference.verdict == "accepted") & Reference.removed_at.is_(None)
    Identity.state = column_property(
        case(
            (Identity.erased_at.is_not(None), "erased"),
            (Identity.erasing_at.is_not(None), "erasing"),
            (Identity.held_at.is_not(None), "suspended"),
            (_any(consents, Identity) & ~_any(live, Identity), "suspended"),
            (_any(training, Identity), "training"),
            (
                _any(
                    (owner.identity_id == Identity.id) & (owner.tenant_id == Identity.tenant_id) & owner.active,
                    Identity,
                ),
                "personalized",
            ),
            (_any(accepted, Identity), "ready"),
            else_="draft",
        )
    )
    judging = (Job.tenant_id == Reference.tenant_id) & (Job.id == Reference.job_id) & Job.state.in_(LIVE)
    Reference.state = column_property(
        case(((Reference.verdict == "checking") & ~_any(judging, Reference), "failed"), else_=Reference.verdict)
    )
    building = (Job.tenant_id == Adapter.tenant_id) & (Job.id == Adapter.job_id) & Job.state.in_(LIVE)
    Adapter.state = column_property(
        case(
            (Adapter.removed_at.is_not(None), "deleted"),
            (Adapter.blob.is_(None) & _any(building, Adapter), "building"),
            (Adapter.blob.is_(None), "deleted"),
            (Adapter.active.is_(True), "active"),
            (Adapter.activated_at.is_not(None), "superseded"),
            else_="ready",
        )
    )


def _any(condition: ColumnElement[bool], row: type[Base]) -> ColumnElement[bool]:
    return exists().where(condition).correlate(row)


_derive_states()
