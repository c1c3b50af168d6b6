"""What an operator sees: tenants, workers, queues."""

from typing import Annotated, Any

from pydantic import Field

from api.schemas.accounts import ApiKeyWithSecret
from api.schemas.common import Input, Moment, Name, Output

Weight = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Days = Annotated[int, Field(ge=1, le=3650)]


class NewTenant(Input):
    """A tenant to make; its first key is shown in the answer."""

    name: Name
    weight: Weight = 1.0


class TenantChange(Input):
    """What an operator may change about a tenant; null lifts a quota, and leaves anything else as it is."""

    name: Name | None = None
    weight: Weight | None = None
    max_queued_jobs: Count | None = None
    max_running_jobs: Count | None = None
    max_identities: Count | None = None
    suspended: bool | None = None

    def changes(self) -> dict[str, Any]:
        """Return what is to change."""
        given = self.model_dump(exclude_unset=True)
        return {name: value for name, value in given.items() if value is not None or name.startswith("max_")}


class Tenant(Output):
    """A customer of the service."""

    id: str
    name: str
    weight: float
    max_queued_jobs: int | None
    max_running_jobs: int | None
    max_identities: int | None
    suspended: bool
    created_at: Moment


class NewTenantAnswer(Tenant):
    """A tenant and its first key, shown this once."""

    first_key: ApiKeyWithSecret


class RetentionChange(Input):
    """For how many days a tenant's things are to be kept; null: until somebody deletes them, uploads for a day."""

    references_days: Days | None = None
    restorations_days: Days | None = None
    uploads_days: Days | None = None
    unused_adapters_days: Days | None = None
    unused_identities_days: Days | None = None


class Worker(Output):
    """A worker process, as it last reported."""

    id: str
    state: str
    draining: bool
    device: str | None
    bundle: str | None
    started_at: Moment
    last_seen_at: Moment
    details: dict[str, Any]


class Queue(Output):
    """One lane of jobs."""

    kind: str
    queued: int
    running: int
    oldest_age_seconds: float | None
