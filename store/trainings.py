"""Trainings: a job that makes an adapter."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import consents, ledger, people, references
from store.errors import NoUsableReference, StateConflict
from store.models import LIVE, Adapter, Identity, Job


@dataclass(frozen=True)
class Wish:
    """How to personalize."""

    preset: str = "balanced"
    steps: int | None = None
    seed: int = 0
    activate: bool = True
    deadline_seconds: int | None = None


def start(session: Session, identity: Identity, wish: Wish) -> Job:
    """Queue a training on the accepted photos; one at a time for each person."""
    consents.require(session, identity, "train")
    tenant_id = identity.tenant_id
    photos = references.accepted(session, tenant_id, identity.id)
    if not photos:
        raise NoUsableReference("got an identity without an accepted photo, wanted one or more; add references first")
    require_no_other(session, tenant_id, identity.id)
    options = {
        "preset": wish.preset, "steps": wish.steps, "seed": wish.seed, "activate": wish.activate,
        "reference_ids": [photo.id for photo in photos],
    }  # fmt: skip
    adapter = Adapter(tenant_id=tenant_id, identity_id=identity.id, options=options)
    session.add(adapter)
    session.flush()
    job = Job(tenant_id=tenant_id, kind="train", identity_id=identity.id, adapter_id=adapter.id, options=options)
    ledger.enqueue(session, job, wish.deadline_seconds)
    adapter.job_id = job.id
    people.touch(session, tenant_id, identity.id)
    session.flush()
    return job


def require_no_other(session: Session, tenant_id: str, identity_id: str) -> None:
    """StateConflict where a training of this person is on its way; the person's row must be locked."""
    live = (Job.tenant_id == tenant_id, Job.identity_id == identity_id, Job.kind == "train", Job.state.in_(LIVE))
    if session.scalar(select(Job.id).where(*live).limit(1)) is not None:
        raise StateConflict("got a training beside one that is on its way, wanted one at a time; wait, or cancel it")
