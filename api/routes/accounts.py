"""What the tenant used, what was done in its name, and what has been erased."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query

from api.dependencies import Tx, own
from api.errors import Refusal
from api.pages import Cursor, Limit, Page, page
from api.routes.routing import router, scope
from api.schemas.accounts import AuditEvent, Erasure, Retention, Usage, UsageLine
from api.schemas.common import GivenMoment
from store import models, queries

routes = router("account")


@routes.get("/usage", response_model=Usage, openapi_extra=scope("audit:read"))
def get_usage(
    work: Tx, since: Annotated[GivenMoment | None, Query()] = None, until: Annotated[GivenMoment | None, Query()] = None
) -> Usage:
    """Sum up the tenant's work, by default of the last 30 days."""
    end = until or datetime.now(UTC)
    start = since or end - timedelta(days=30)
    if start > end:
        raise Refusal("invalid_request", "got a period that ends before it begins; wanted since <= until; swap them")
    lines = [
        UsageLine(kind=kind, count=count, compute_seconds=seconds)
        for kind, count, seconds in queries.usage(work.session, work.tenant_id, start, end)
    ]
    return Usage(since=start, until=end, lines=lines, quotas=queries.quotas(work.session, work.tenant_id))


@routes.get("/retention", response_model=Retention, openapi_extra=scope("audit:read"))
def get_retention(work: Tx) -> Retention:
    """Return for how long the tenant's things are kept; its operator sets that."""
    return Retention.model_validate(work.session.get_one(models.Tenant, work.tenant_id))


@routes.get("/audit-events", response_model=Page[AuditEvent], openapi_extra=scope("audit:read"))
def list_audit_events(work: Tx, limit: Limit = 20, cursor: Cursor = None) -> Page[AuditEvent]:
    """List what was done in the tenant's name, newest first; each event seals the one before."""
    return page(work, models.AuditEvent, AuditEvent.model_validate, limit, cursor)


@routes.get("/erasures/{erasure_id}", response_model=Erasure, openapi_extra=scope("identities:read"))
def get_erasure(erasure_id: str, work: Tx) -> Erasure:
    """Return how far an erasure is; completed, it carries a signed receipt."""
    return Erasure.model_validate(own(work, models.Erasure, erasure_id))
