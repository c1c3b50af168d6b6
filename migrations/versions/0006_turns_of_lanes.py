"""When a job of each tenant's lane last began, and when trainings ended: a starved lane gets turns.

A column of `tenant_lanes`, whose row-level security and rights it shares.
"""

import sqlalchemy as sa
from alembic import op

from store.columns import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null: nothing has begun since this column is there; until something does, the lanes go in their order.
    op.add_column("tenant_lanes", sa.Column("served_at", Instant, nullable=True))
    op.create_index("ix_tenant_lanes_kind_served_at", "tenant_lanes", ["kind", "served_at"])
    trained = sa.text("kind = 'train'")
    op.create_index("ix_jobs_trained", "jobs", ["finished_at"], sqlite_where=trained, postgresql_where=trained)


def downgrade() -> None:
    op.drop_index("ix_jobs_trained", "jobs")
    op.drop_index("ix_tenant_lanes_kind_served_at", "tenant_lanes")
    op.drop_column("tenant_lanes", "served_at")
