"""The tables of the queue: jobs and what happens to them, workers, shares, the outbox.

These, and no others, the ledger's database role sees of all tenants.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from store.columns import Base, Instant, Owned, now, one
from store.ids import new_id

JOB_STATES = ("queued", "running", "canceling", "succeeded", "failed", "canceled", "expired")
LIVE = ("queued", "running", "canceling")
HELD = ("running", "canceling")
ENDED = ("succeeded", "failed", "canceled", "expired")
LANES = ("assess", "restore", "train")
"""The kinds of jobs; the earlier go first, while no other is starved."""
BATCHED = ("assess", "restore")
"""Those of which a worker takes several at once."""

_TRAININGS: dict[str, Any] = {"sqlite_where": text("kind = 'train'"), "postgresql_where": text("kind = 'train'")}
"""Each claim asks whether a training has just ended: of all other jobs that index holds none."""


class TenantShare(Base):
    """What a tenant may: the part of a tenant that scheduling sees."""

    __tablename__ = "tenant_shares"
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    weight: Mapped[float] = mapped_column(default=1.0)
    suspended: Mapped[bool] = mapped_column(default=False)
    max_queued_jobs: Mapped[int | None]
    max_running_jobs: Mapped[int | None]
    max_identities: Mapped[int | None]


class TenantLane(Base):
    """How far a tenant's virtual time is in one lane, and when a job of it last began: each claim writes both."""

    __tablename__ = "tenant_lanes"
    __table_args__ = (Index(None, "kind", "served_at"),)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    virtual_time: Mapped[float] = mapped_column(default=0.0)
    served_at: Mapped[datetime | None] = mapped_column(Instant)


class Job(Owned):
    """A unit of work. Only store/ledger.py writes `state` and what follows it."""

    __tablename__ = "jobs"
    __table_args__ = (
        one("identity_id", "identities"),
        one("restoration_id", "restorations"),
        one("adapter_id", "adapters"),
        one("reference_id", "reference_photos"),
        UniqueConstraint("id"),
        Index(None, "state", "kind", "tenant_id", "queued_at"),
        Index(None, "kind", "virtual_start"),
        Index(None, "tenant_id", "identity_id"),
        Index(None, "tenant_id", "kind"),
        Index("ix_jobs_trained", "finished_at", **_TRAININGS),
    )
    prefix = "job"
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    identity_id: Mapped[str | None]
    restoration_id: Mapped[str | None]
    adapter_id: Mapped[str | None]
    reference_id: Mapped[str | None]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    batch_key: Mapped[str] = mapped_column(default="")  # jobs of one kind and key may share a batch
    warm_key: Mapped[str | None]  # the adapter that a worker has better loaded already
    attempt: Mapped[int] = mapped_column(default=0)
    strikes: Mapped[int] = mapped_column(default=0)
    strike_epoch: Mapped[int | None]  # the lease that the last strike is for
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    last_sequence: Mapped[int] = mapped_column(default=0)
    virtual_floor: Mapped[float] = mapped_column(default=0.0)  # the lane's virtual time when it was queued
    virtual_start: Mapped[float | None]  # its tenant's virtual time when it was claimed
    worker_id: Mapped[str | None]
    lease_epoch: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None] = mapped_column(Instant)
    checkpoint_blob: Mapped[str | None]
    checkpoint_epoch: Mapped[int | None]  # the lease under which it was written
    checkpoint_step: Mapped[int | None]
    queued_at: Mapped[datetime] = mapped_column(Instant, default=now())
    not_before: Mapped[datetime | None] = mapped_column(Instant)
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    deadline_at: Mapped[datetime | None] = mapped_column(Instant)


class JobEvent(Base):
    """Something that happened to a job."""

    __tablename__ = "job_events"
    __table_args__ = (one("job_id", "jobs", "CASCADE"),)
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(Instant, default=now())


class Worker(Base):
    """A worker process, as it last reported."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("wrk"))
    state: Mapped[str] = mapped_column(default="idle")
    draining: Mapped[bool] = mapped_column(default=False)
    device: Mapped[str | None]
    bundle: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    evicted_through: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime] = mapped_column(Instant, default=now())
    last_seen_at: Mapped[datetime] = mapped_column(Instant, default=now())


class Eviction(Base):
    """What every worker must drop from its caches, in order."""

    __tablename__ = "evictions"
    __table_args__ = {"sqlite_autoincrement": True}  # no number is used twice
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    owner_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(Instant, default=now())


class OutboxEvent(Base):
    """Something to do after the commit, not before its moment: housekeeping does it at least once."""

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "available_at"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("obx"))
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]]
    attempts: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime] = mapped_column(Instant, default=now())
    created_at: Mapped[datetime] = mapped_column(Instant, default=now())
