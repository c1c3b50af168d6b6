"""Rows as the resources that clients see, where more than one row is needed."""

from api.dependencies import Work
from api.schemas.admin import Tenant
from api.schemas.common import Links
from api.schemas.jobs import Job, Place
from api.schemas.references import Reference
from api.schemas.restorations import Restoration, RestorationFace
from store import models, queries, restorations

_SHARE = {"weight", "max_queued_jobs", "max_running_jobs", "max_identities", "suspended"}
_UNJUDGED = "It could not be judged, which is not the photo's fault: retry its job, or add the photo again."
_JOB_COLUMNS = set(Job.model_fields) - {"queue", "links"}


def show_job(work: Work, row: models.Job) -> Job:
    """Return a job with its place in the queue and where it leads."""
    queue = Place(position=queries.waiting_before(work.session, row)) if row.state == "queued" else None
    here = f"/v1/jobs/{row.id}"
    links = Links(self=here, events=f"{here}/events", cancel=f"{here}/cancel", result=_result(row))
    columns = {name: getattr(row, name) for name in _JOB_COLUMNS}
    return Job.model_validate({**columns, "queue": queue, "links": links})


def _result(row: models.Job) -> str | None:
    for kind, row_id in (
        ("restorations", row.restoration_id),
        ("adapters", row.adapter_id),
        ("references", row.reference_id),
    ):
        if row_id is not None:
            return f"/v1/{kind}/{row_id}"
    return None


def show_tenant(row: models.Tenant) -> Tenant:
    """Return a tenant with its share."""
    share = {name: getattr(row.share, name) for name in _SHARE}
    return Tenant.model_validate({"id": row.id, "name": row.name, "created_at": row.created_at, **share})


def show_reference(row: models.Reference) -> Reference:
    """Return a photo with its verdict; where there is none and will be none, with what to do."""
    shown = Reference.model_validate(row)
    return shown.model_copy(update={"advice": _UNJUDGED}) if shown.state == "failed" else shown


def show_restoration(work: Work, row: models.Restoration) -> Restoration:
    """Return a restoration with its job's state, its people and its evidence."""
    job = work.session.get_one(models.Job, {"tenant_id": row.tenant_id, "id": row.job_id})
    here = f"/v1/restorations/{row.id}"
    more = {
        "state": job.state,
        "error": job.error,
        "finished_at": job.finished_at,
        "upgrade_available": restorations.upgrade_available(work.session, row),
        "faces": [RestorationFace.model_validate(face) for face in queries.faces(work.session, row)],
        "image_url": f"{here}/image" if row.result_blob else None,
        "comparison_url": f"{here}/comparison" if row.comparison_blob else None,
    }
    columns = {name: getattr(row, name) for name in set(Restoration.model_fields) - set(more)}
    return Restoration.model_validate({**columns, **more})
