"""Postgres tells whoever listens which job something happened to.

The payload is the job's id and nothing else: anybody who may log in to the database may listen. Progress and
checkpoints are left out, since they come several times a second and a transaction that notifies commits alone (Postgres
takes one lock for the whole cluster); who follows them looks by itself.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FUNCTION = """
CREATE FUNCTION idprefer_tell() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('idprefer_jobs', NEW.job_id);
    RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER idprefer_tell AFTER INSERT ON job_events
FOR EACH ROW WHEN (NEW.type NOT IN ('progress', 'checkpoint')) EXECUTE FUNCTION idprefer_tell()
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_FUNCTION)
        op.execute("REVOKE ALL ON FUNCTION idprefer_tell() FROM PUBLIC")
        op.execute(_TRIGGER)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER idprefer_tell ON job_events")
        op.execute("DROP FUNCTION idprefer_tell()")
