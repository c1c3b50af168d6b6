"""Sessions of the studio that were closed, and what makes it quick to count what a tenant keeps.

The rights go with the table.
"""

import sqlalchemy as sa
from alembic import op

from migrations.rights_0005 import grant
from store.columns import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEPT = {"uploads": ["tenant_id", "size_bytes"], "reference_photos": ["tenant_id"]}


def upgrade() -> None:
    op.create_table(
        "closed_sessions",
        sa.Column("tenant_id", sa.String, nullable=False),
        sa.Column("nonce", sa.String, nullable=False),
        sa.Column("ends_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "nonce", name="pk_closed_sessions"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_closed_sessions_tenant_id"),
    )
    there = sa.text("removed_at IS NULL")
    for table, columns in KEPT.items():
        op.create_index(f"ix_{table}_kept", table, columns, sqlite_where=there, postgresql_where=there)
    if op.get_bind().dialect.name == "postgresql":
        grant(op.execute)


def downgrade() -> None:
    for table in KEPT:
        op.drop_index(f"ix_{table}_kept", table)
    op.drop_table("closed_sessions")
