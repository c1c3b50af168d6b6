"""Every consent says under which rules of use it was given."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null: a consent from before these rules were written down.
    op.add_column("consents", sa.Column("policy_sha256", sa.String, nullable=True))


def downgrade() -> None:
    op.drop_column("consents", "policy_sha256")
