"""The operator's view: tenants, workers, queues."""

from fastapi import Response

from api.dependencies import Once, Tx
from api.idempotency import answered
from api.pages import Cursor, Limit, Page, decode_cursor, paged
from api.routes.routing import router, scope
from api.schemas.accounts import ApiKey, ApiKeyWithSecret, Retention
from api.schemas.admin import NewTenant, NewTenantAnswer, Queue, RetentionChange, Tenant, TenantChange, Worker
from api.shown import show_tenant
from store import audit, operators
from store.database import act_for

routes = router("admin")
ADMIN = scope("admin")


@routes.post("/admin/tenants", status_code=201, response_model=NewTenantAnswer, openapi_extra=ADMIN)
def create_tenant(body: NewTenant, work: Tx, once: Once) -> Response:
    """Make a tenant and its first key, which is shown this once."""
    row, key, token = operators.create_tenant(work.session, body.name, body.weight)
    work.audit("tenant.created", row.id)
    first = ApiKeyWithSecret(**ApiKey.model_validate(key).model_dump(), key=token)
    shown = NewTenantAnswer(**show_tenant(row).model_dump(), first_key=first)
    return once.keep(answered(201, shown, location=f"/v1/admin/tenants/{row.id}")).response()


@routes.get("/admin/tenants", response_model=Page[Tenant], openapi_extra=ADMIN)
def list_tenants(work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[Tenant]:
    """List all tenants, newest first."""
    rows = operators.tenants(work.session, limit, decode_cursor(cursor))
    return paged(rows, show_tenant, limit)


@routes.get("/admin/tenants/{tenant_id}", response_model=Tenant, openapi_extra=ADMIN)
def get_tenant(tenant_id: str, work: Tx) -> Tenant:
    """Return one tenant."""
    return show_tenant(operators.tenant(work.session, tenant_id))


@routes.patch("/admin/tenants/{tenant_id}", response_model=Tenant, openapi_extra=ADMIN)
def update_tenant(tenant_id: str, body: TenantChange, work: Tx) -> Tenant:
    """Change a tenant's share, quotas or name, or suspend it: its keys stop working."""
    row = operators.change(work.session, tenant_id, **body.changes())
    work.audit("tenant.changed", row.id)
    return show_tenant(row)


@routes.get("/admin/tenants/{tenant_id}/retention", response_model=Retention, openapi_extra=ADMIN)
def get_tenant_retention(tenant_id: str, work: Tx) -> Retention:
    """Return for how long a tenant's things are kept."""
    return Retention.model_validate(operators.tenant(work.session, tenant_id))


@routes.patch("/admin/tenants/{tenant_id}/retention", response_model=Retention, openapi_extra=ADMIN)
def update_tenant_retention(tenant_id: str, body: RetentionChange, work: Tx) -> Retention:
    """Change for how long a tenant's things are kept: what is over is deleted within minutes, what is there too."""
    row = operators.change(work.session, tenant_id, **body.model_dump(exclude_unset=True))
    shown = Retention.model_validate(row)
    for whose in sorted({work.tenant_id, row.id}):  # in this order: nobody waits in a circle
        act_for(work.session, whose)
        audit.record(
            work.session, whose, work.principal.key_id, "tenant.retention_changed", row.id, **shown.model_dump()
        )
    return shown


@routes.get("/admin/workers", response_model=list[Worker], openapi_extra=ADMIN)
def list_workers(work: Tx) -> list[Worker]:
    """List the worker processes, the latest heard of first."""
    return [Worker.model_validate(row) for row in operators.workers(work.session)]


@routes.post("/admin/workers/{worker_id}/drain", status_code=202, response_model=Worker, openapi_extra=ADMIN)
def drain_worker(worker_id: str, work: Tx, once: Once) -> Response:
    """Let a worker finish what it has and claim nothing more; none takes its place until it is started anew."""
    row = operators.drain(work.session, worker_id)
    work.audit("worker.draining", row.id)
    return once.keep(answered(202, Worker.model_validate(row))).response()


@routes.get("/admin/queues", response_model=list[Queue], openapi_extra=ADMIN)
def list_queues(work: Tx) -> list[Queue]:
    """Say how many jobs wait and run in each lane."""
    return [Queue(**lane) for lane in operators.queues(work.session)]
