"""Who may see what on Postgres, as of revision 0001: roles, row-level security, and three narrow functions.

Roles are of the whole cluster, so they are made only where they are missing. Each process logs in as one of the first
three, or as a member of it, and takes it by SET ROLE:

idprefer_api            one tenant's rows; may become idprefer_operator
idprefer_ledger         jobs, job_events, outbox, workers, shares, lanes, evictions of all; other rows of one tenant
idprefer_operator       tenants and their shares, keys, holds; workers; jobs to count
idprefer_authenticator  nobody's login: owns the function that finds a key before its tenant is known
idprefer_pulse          nobody's login: owns the functions that tell how far jobs are, and how late it is in a lane
"""

from collections.abc import Callable

Execute = Callable[[str], object]

LOGINS = ("idprefer_api", "idprefer_ledger", "idprefer_operator")
OWNERS = ("idprefer_authenticator", "idprefer_pulse")
TENANT = "nullif(current_setting('app.tenant', true), '')"
OF_TENANT = (
    "tenant_shares", "tenant_lanes", "evictions", "outbox", "idempotency_keys", "data_keys", "audit_heads", "api_keys",
    "identities", "consents", "reference_photos", "adapters", "uploads", "restorations", "restoration_faces", "jobs",
    "job_events", "webhook_endpoints", "webhook_deliveries", "audit_events", "erasures", "usage_records",
)  # fmt: skip
LEDGER_SEES = ("jobs", "job_events", "outbox", "tenant_shares", "tenant_lanes", "evictions")
OPERATOR_SEES = ("tenant_shares", "tenant_lanes", "audit_heads", "api_keys", "identities", "jobs")
APPEND_ONLY = ("audit_events",)
FUNCTIONS = {
    "idprefer_authenticate(text)": "idprefer_authenticator",
    "idprefer_pulses(text[])": "idprefer_pulse",
    "idprefer_lane_clock(text)": "idprefer_pulse",
}


def grant(execute: Execute) -> None:
    """Make the roles, shut every table, and open to each role what it needs."""
    for role in (*LOGINS, *OWNERS):
        execute(_CREATE_ROLE.format(role=role))
    execute("GRANT idprefer_operator TO idprefer_api")
    _schema_usage(execute, "GRANT USAGE ON SCHEMA {schema} TO {role}")
    for table in (*OF_TENANT, "tenants", "workers"):
        execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    _api_and_ledger(execute)
    _operator(execute)
    _functions(execute)


def revoke(execute: Execute) -> None:
    """Take the functions away; the tables' rights go with the tables, the roles stay for other databases."""
    for function in FUNCTIONS:
        execute(f"DROP FUNCTION {function}")
    execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM " + ", ".join((*LOGINS, *OWNERS)))
    execute("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM " + ", ".join((*LOGINS, *OWNERS)))


def _api_and_ledger(execute: Execute) -> None:
    for role in ("idprefer_api", "idprefer_ledger"):
        for table in OF_TENANT:
            may = "SELECT, INSERT" if table in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
            execute(f"GRANT {may} ON {table} TO {role}")
            open_to = "true" if role == "idprefer_ledger" and table in LEDGER_SEES else f"tenant_id = {TENANT}"
            _policy(execute, table, role, open_to)
        execute(f"GRANT SELECT ON tenants TO {role}")
        _policy(execute, "tenants", role, f"id = {TENANT}")
        execute(f"GRANT USAGE ON SEQUENCE evictions_sequence_seq TO {role}")
        execute(f"GRANT SELECT ON alembic_version TO {role}")
    execute("GRANT SELECT ON workers TO idprefer_api")
    execute("GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO idprefer_ledger")
    _policy(execute, "workers", "idprefer_api", "true")
    _policy(execute, "workers", "idprefer_ledger", "true")


def _operator(execute: Execute) -> None:
    for table in (*OPERATOR_SEES, "tenants", "workers"):
        may = "SELECT" if table == "jobs" else "SELECT, INSERT, UPDATE"
        execute(f"GRANT {may} ON {table} TO idprefer_operator")
        _policy(execute, table, "idprefer_operator", "true")
    # Whether an identity is on hold follows from its other rows, so these are read, and never written.
    for table in ("consents", "adapters", "reference_photos"):
        execute(f"GRANT SELECT ON {table} TO idprefer_operator")
        _policy(execute, table, "idprefer_operator", "false")
    execute("GRANT SELECT ON alembic_version TO idprefer_operator")


def _functions(execute: Execute) -> None:
    reads = {"idprefer_authenticator": ("api_keys", "tenant_shares"), "idprefer_pulse": ("jobs",)}
    for role, tables in reads.items():
        for table in tables:
            execute(f"GRANT SELECT ON {table} TO {role}")
            _policy(execute, table, role, "true")
    for statement in (_AUTHENTICATE, _PULSES, _LANE_CLOCK):
        execute(statement)
    for function, owner in FUNCTIONS.items():
        execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        execute(f"GRANT EXECUTE ON FUNCTION {function} TO idprefer_api, idprefer_ledger")
        # The owner must be allowed to make things in the schema for the moment it is given one.
        _schema_usage(execute, "GRANT CREATE ON SCHEMA {schema} TO {role}", (owner,))
        execute(f"ALTER FUNCTION {function} OWNER TO {owner}")
        _schema_usage(execute, "REVOKE CREATE ON SCHEMA {schema} FROM {role}", (owner,))


def _policy(execute: Execute, table: str, role: str, condition: str) -> None:
    execute(f"CREATE POLICY {role} ON {table} TO {role} USING ({condition}) WITH CHECK ({condition})")


def _schema_usage(execute: Execute, statement: str, roles: tuple[str, ...] = (*LOGINS, *OWNERS)) -> None:
    for role in roles:
        execute(statement.format(schema="public", role=role))


# NOINHERIT: a member takes a role's rights by SET ROLE only, so that an api process is no operator by the way.
_CREATE_ROLE = """
DO $$ BEGIN
    CREATE ROLE {role} NOLOGIN NOINHERIT NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""
_AUTHENTICATE = """
CREATE FUNCTION idprefer_authenticate(key_id text) RETURNS SETOF public.api_keys
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT api_keys.* FROM public.api_keys
    JOIN public.tenant_shares ON tenant_shares.tenant_id = api_keys.tenant_id
    WHERE api_keys.id = key_id AND api_keys.revoked_at IS NULL AND NOT tenant_shares.suspended
      AND (api_keys.expires_at IS NULL OR api_keys.expires_at > statement_timestamp())
$$
"""
_PULSES = """
CREATE FUNCTION idprefer_pulses(job_ids text[]) RETURNS TABLE (id varchar, last_sequence integer, state varchar)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT jobs.id, jobs.last_sequence, jobs.state FROM public.jobs WHERE jobs.id = ANY (job_ids)
$$
"""
_LANE_CLOCK = """
CREATE FUNCTION idprefer_lane_clock(lane text) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(max(jobs.virtual_start), 0.0) FROM public.jobs WHERE jobs.kind = lane
$$
"""
