"""The first tables, and who may see what in them.

A table of tenants' rows has the key (tenant_id, id); a reference to another row carries the tenant with it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from migrations.rights_0001 import grant, revoke
from store.columns import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "tenants", "tenant_shares", "tenant_lanes", "workers", "evictions", "outbox", "idempotency_keys", "data_keys",
    "audit_heads", "api_keys", "identities", "consents", "reference_photos", "adapters", "uploads", "restorations",
    "restoration_faces", "jobs", "job_events", "webhook_endpoints", "webhook_deliveries", "audit_events", "erasures",
    "usage_records",
)  # fmt: skip


def upgrade() -> None:
    _tenants()
    _queue()
    _accounts()
    _people()
    _restorations()
    _jobs()
    _webhooks()
    if op.get_bind().dialect.name == "postgresql":
        grant(op.execute)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        revoke(op.execute)
    for table in reversed(TABLES):
        op.drop_table(table)


def _tenants() -> None:
    _table("tenants", ["id"], [*_text("id name"), *_moments("created_at")])
    quotas = _numbers("max_queued_jobs max_running_jobs max_identities", null=True)
    share = [*_text("tenant_id"), _column("weight", sa.Double), _column("suspended", sa.Boolean), *quotas]
    _table("tenant_shares", ["tenant_id"], share, [_of_tenant("tenant_shares")])
    lane = [*_text("tenant_id kind"), _column("virtual_time", sa.Double)]
    _table("tenant_lanes", ["tenant_id", "kind"], lane, [_of_tenant("tenant_lanes")])


def _queue() -> None:
    worker = [
        *_text("id state"), _column("draining", sa.Boolean), *_text("device bundle", null=True), *_json("details"),
        *_numbers("evicted_through"), *_moments("started_at last_seen_at"),
    ]  # fmt: skip
    _table("workers", ["id"], worker)
    number = sa.Column("sequence", sa.Integer, autoincrement=True, nullable=False)
    eviction = [number, *_text("tenant_id owner_id"), *_moments("created_at")]
    _table("evictions", ["sequence"], eviction, [_of_tenant("evictions")], sqlite_autoincrement=True)
    errand = [
        *_text("id tenant_id kind"), *_json("payload"), *_numbers("attempts"), *_moments("available_at created_at"),
    ]  # fmt: skip
    _table("outbox", ["id"], errand, [_of_tenant("outbox")])
    _index("outbox", "available_at")


def _accounts() -> None:
    answer = [*_numbers("status", null=True), *_json("body headers", null=True), *_moments("expires_at")]
    key = [*_text("tenant_id key fingerprint"), *answer]
    _table("idempotency_keys", ["tenant_id", "key"], key, [_of_tenant("idempotency_keys")])
    data_key = [*_text("tenant_id owner_id"), *_bytes("wrapped"), *_text("root_id", null=True), *_moments("created_at")]
    _table("data_keys", ["tenant_id", "owner_id"], data_key, [_of_tenant("data_keys")])
    head = [*_text("tenant_id hash"), *_numbers("sequence")]
    _table("audit_heads", ["tenant_id"], head, [_of_tenant("audit_heads")])
    ends = _moments("expires_at last_used_at revoked_at", null=True)
    _owned("api_keys", [*_text("name secret_hash"), *_json("scopes"), *ends], [_unique("api_keys", "id")])
    event = [*_numbers("sequence"), *_text("action actor hash previous_hash"), *_text("target", null=True)]
    numbered = _unique("audit_events", "tenant_id", "sequence")
    _owned("audit_events", [*event, *_json("details")], [numbered])
    _owned("usage_records", [*_text("kind job_id"), _column("compute_seconds", sa.Double)])
    _index("usage_records", "tenant_id", "created_at")


def _people() -> None:
    marks = _moments("held_at erasing_at erased_at", null=True)
    identity = [*_text("name"), *_numbers("retention_seconds", null=True), *_moments("last_active_at"), *marks]
    _owned("identities", identity)
    consent = [
        *_text("identity_id subject attested_by method text_version text_sha256 jurisdiction"), *_json("purposes"),
        *_moments("expires_at withdrawn_at", null=True), *_text("withdrawal_reason", null=True),
    ]  # fmt: skip
    _owned("consents", consent, [_one("consents", "identity_id", "identities")])
    photo = [
        *_text("identity_id state"), *_json("reasons quality_words"), *_numbers("width height"),
        _column("quality_score", sa.Double, null=True), *_moments("removed_at", null=True),
        *_text("advice filename sha256 blob face_blob job_id", null=True),
    ]  # fmt: skip
    _owned("reference_photos", photo, [_one("reference_photos", "identity_id", "identities")])
    adapter = [
        *_text("identity_id"), *_text("job_id blob digest bundle bundle_digest", null=True),
        *_numbers("size_bytes", null=True), *_json("options metrics"), _column("active", sa.Boolean),
        *_moments("activated_at removed_at", null=True),
    ]  # fmt: skip
    _owned("adapters", adapter, [_one("adapters", "identity_id", "identities")])
    where: dict[str, Any] = {"sqlite_where": sa.text("active"), "postgresql_where": sa.text("active")}
    op.create_index("uq_adapters_active", "adapters", ["tenant_id", "identity_id"], unique=True, **where)
    erasure = [
        *_text("identity_id", null=True), *_text("state reason"), *_json("counts"), *_numbers("eviction", null=True),
        *_json("receipt", null=True), *_moments("finished_at", null=True),
    ]  # fmt: skip
    _owned("erasures", erasure, [_one("erasures", "identity_id", "identities")])
    for table in ("consents", "reference_photos", "adapters"):
        _index(table, "tenant_id", "identity_id")


def _restorations() -> None:
    upload = [
        *_numbers("width height size_bytes"), *_text("sha256 blob", null=True), *_moments("expires_at"),
        *_moments("removed_at", null=True),
    ]  # fmt: skip
    _owned("uploads", upload)
    restoration = [
        *_text("job_id tier preset format"), *_text("tier_used", null=True), _column("fidelity", sa.Double, null=True),
        *_numbers("seed"), *_numbers("expires_in", null=True),
        *_text("input_blob result_blob comparison_blob pixels_sha256", null=True), *_json("evidence"),
        *_moments("expires_at removed_at", null=True),
    ]  # fmt: skip
    _owned("restorations", restoration)
    _index("restorations", "tenant_id", "pixels_sha256")
    face = [
        *_text("tenant_id restoration_id identity_id"), *_numbers("position"), *_text("adapter_id", null=True),
        *_json("box", null=True), *_json("evidence"),
    ]  # fmt: skip
    to = {"restoration_id": "restorations", "identity_id": "identities", "adapter_id": "adapters"}
    keys = [_one("restoration_faces", column, table) for column, table in to.items()]
    _table("restoration_faces", ["tenant_id", "restoration_id", "identity_id"], face, keys)
    _index("restoration_faces", "tenant_id", "identity_id")
    _index("restoration_faces", "tenant_id", "adapter_id")


def _jobs() -> None:
    to = {
        "identity_id": "identities", "restoration_id": "restorations", "adapter_id": "adapters",
        "reference_id": "reference_photos",
    }  # fmt: skip
    job = [
        *_text("kind state batch_key"), *_text("warm_key worker_id checkpoint_blob", null=True),
        *_text(" ".join(to), null=True), *_json("options metrics"), *_json("progress error", null=True),
        *_numbers("attempt strikes last_sequence lease_epoch"),
        *_numbers("strike_epoch checkpoint_epoch checkpoint_step", null=True),
        _column("virtual_floor", sa.Double), _column("virtual_start", sa.Double, null=True), *_moments("queued_at"),
        *_moments("lease_until not_before started_at finished_at deadline_at", null=True),
    ]  # fmt: skip
    _owned("jobs", job, [_unique("jobs", "id"), *(_one("jobs", column, table) for column, table in to.items())])
    _index("jobs", "state", "kind", "tenant_id", "queued_at")
    _index("jobs", "kind", "virtual_start")
    _index("jobs", "tenant_id", "identity_id")
    _index("jobs", "tenant_id", "kind")
    event = [*_text("tenant_id job_id type"), *_numbers("sequence"), *_json("data"), *_moments("created_at")]
    of_job = _one("job_events", "job_id", "jobs", "CASCADE")
    _table("job_events", ["tenant_id", "job_id", "sequence"], event, [of_job])


def _webhooks() -> None:
    endpoint = [
        *_text("url"), *_json("events"), *_text("description", null=True), _column("enabled", sa.Boolean),
        *_bytes("secret"), *_bytes("previous_secret", null=True), *_moments("previous_until", null=True),
    ]  # fmt: skip
    _owned("webhook_endpoints", endpoint)
    delivery = [
        *_text("endpoint_id event_id event_type state"), *_json("payload"), *_numbers("attempt"),
        *_numbers("response_status", null=True), *_text("error", null=True),
        *_moments("next_attempt_at delivered_at", null=True),
    ]  # fmt: skip
    of_endpoint = _one("webhook_deliveries", "endpoint_id", "webhook_endpoints", "CASCADE")
    _owned("webhook_deliveries", delivery, [of_endpoint])
    _index("webhook_deliveries", "tenant_id", "endpoint_id")


def _column(name: str, kind: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null)


def _text(names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [_column(name, sa.String, null) for name in names.split()]


def _numbers(names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [_column(name, sa.Integer, null) for name in names.split()]


def _moments(names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [_column(name, Instant, null) for name in names.split()]


def _json(names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [_column(name, sa.JSON, null) for name in names.split()]


def _bytes(names: str, null: bool = False) -> list[sa.Column[Any]]:
    return [_column(name, sa.LargeBinary, null) for name in names.split()]


def _of_tenant(table: str) -> SchemaItem:
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id")


def _one(table: str, column: str, to: str, on_delete: str | None = None) -> SchemaItem:
    name = f"fk_{table}_tenant_id_{column}"
    return sa.ForeignKeyConstraint(
        ["tenant_id", column], [f"{to}.tenant_id", f"{to}.id"], name=name, ondelete=on_delete
    )


def _unique(table: str, *columns: str) -> SchemaItem:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _owned(table: str, columns: Sequence[sa.Column[Any]], constraints: Iterable[SchemaItem] = ()) -> None:
    own = [*_text("tenant_id id"), *_moments("created_at")]
    _table(table, ["tenant_id", "id"], [*own, *columns], [_of_tenant(table), *constraints])


def _table(
    name: str,
    key: Sequence[str],
    columns: Sequence[sa.Column[Any]],
    constraints: Iterable[SchemaItem] = (),
    **options: Any,
) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"), *constraints, **options)
