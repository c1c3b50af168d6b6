"""Doing a job again: under the same conditions as the first time."""

from sqlalchemy.orm import Session

from store import consents, ledger, queries, trainings
from store.columns import Owned
from store.errors import Gone
from store.models import LIVE, Adapter, Identity, Job, Reference, Restoration


def retry(session: Session, job: Job) -> Job:
    """Queue an ended job again, if the people in it still agree and what it is for is still there."""
    if job.state not in LIVE:
        for identity_id in sorted(_people(session, job)):
            identity = session.get_one(Identity, {"tenant_id": job.tenant_id, "id": identity_id})
            consents.require(session, identity, "restore" if job.kind == "restore" else "train")
        if job.kind == "train":
            trainings.require_no_other(session, job.tenant_id, job.identity_id or "")
    return ledger.retry(session, job)


def _people(session: Session, job: Job) -> set[str]:
    """Return whom a job is about; Gone where what it is for has been deleted."""
    named: dict[type[Owned], str | None] = {
        Reference: job.reference_id,
        Adapter: job.adapter_id,
        Restoration: job.restoration_id,
    }
    people = {job.identity_id} if job.identity_id else set()
    for model, row_id in named.items():
        row = session.get(model, {"tenant_id": job.tenant_id, "id": row_id}) if row_id else None
        if row is not None and queries.is_tombstone(row):
            raise Gone(
                f"got a job whose {model.__name__.lower()} has been deleted, wanted one that is there; start anew"
            )
        if isinstance(row, Restoration):
            people |= {face.identity_id for face in queries.faces(session, row)}
    return people
