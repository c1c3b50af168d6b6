"""Who may see the closed sessions on Postgres, as of revision 0005; all else is as revision 0001 says."""

from migrations import rights_0001
from migrations.rights_0001 import TENANT, Execute

OF_TENANT = (*rights_0001.OF_TENANT, "closed_sessions")


def grant(execute: Execute) -> None:
    """Shut the table, and open a tenant's rows to the API, which writes and asks, and to the caretaker, who tidies."""
    execute("ALTER TABLE closed_sessions ENABLE ROW LEVEL SECURITY")
    execute("ALTER TABLE closed_sessions FORCE ROW LEVEL SECURITY")
    for role, may in (("idprefer_api", "SELECT, INSERT"), ("idprefer_ledger", "SELECT, DELETE")):
        execute(f"GRANT {may} ON closed_sessions TO {role}")
        mine = f"tenant_id = {TENANT}"
        execute(f"CREATE POLICY {role} ON closed_sessions TO {role} USING ({mine}) WITH CHECK ({mine})")
