"""Trainings: on accepted photos, one at a time."""

import pytest

from store.errors import NoUsableReference, StateConflict
from store.models import Adapter, Job
from tests.store.archive import Archive


def test_a_training_names_its_photos(archive: Archive) -> None:
    """A training's job carries its wishes and the photos it is on, and its adapter is being built."""
    tenant = archive.tenant()
    person = archive.person(tenant, photos=3)
    job_id = archive.training(tenant, person, preset="fast", seed=7, steps=20)
    job: Job = archive.job(tenant, job_id)
    assert (job.options["preset"], job.options["seed"], job.options["steps"]) == ("fast", 7, 20)
    assert len(job.options["reference_ids"]) == 3
    adapter = archive.row(Adapter, tenant, job.adapter_id or "")
    assert (adapter.state, adapter.identity_id, adapter.job_id) == ("building", person, job_id)


def test_a_training_needs_a_photo(archive: Archive) -> None:
    """Without an accepted photo there is nothing to learn from."""
    tenant = archive.tenant()
    with pytest.raises(NoUsableReference, match="accepted photo"):
        archive.training(tenant, archive.person(tenant, photos=0))


def test_one_training_at_a_time(archive: Archive) -> None:
    """A second training of a person is refused while the first is on its way; another person's is not."""
    tenant = archive.tenant()
    person, other = archive.person(tenant), archive.person(tenant)
    archive.training(tenant, person)
    with pytest.raises(StateConflict, match="one at a time"):
        archive.training(tenant, person)
    archive.training(tenant, other)
