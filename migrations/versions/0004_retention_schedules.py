"""A tenant's retention schedule: for how many days references, results, uploads and what nobody uses are kept.

Columns of `tenants`, whose row-level security and rights they share: a tenant reads its own, an operator changes it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DAYS = ("references_days", "restorations_days", "uploads_days", "unused_adapters_days", "unused_identities_days")


def upgrade() -> None:
    for name in DAYS:  # null: until somebody deletes them, as before there was a schedule
        op.add_column("tenants", sa.Column(name, sa.Integer, nullable=True))


def downgrade() -> None:
    for name in reversed(DAYS):
        op.drop_column("tenants", name)
