"""Whom an operator holds, and whose consent has run out: what of theirs still goes out, and what is still used."""

import json

import pytest
from sqlalchemy import update

from store import models, operators
from store.columns import now
from tests.api.hand import Hand, adapter_file
from tests.api.service import Service, Tenant, png


@pytest.fixture
def person(tenant: Tenant, hand: Hand) -> str:
    """Somebody with an accepted photo."""
    identity_id = tenant.identity()
    tenant.reference(identity_id)
    hand.work()
    return identity_id


def _hold(service: Service, tenant: Tenant, identity_id: str, held: bool) -> None:
    with service.parts.database.transaction(tenant.id) as session:
        operators.hold(session, tenant.id, identity_id, held)


def _brought(tenant: Tenant, identity_id: str) -> str:
    answer = tenant.http.post(f"/v1/identities/{identity_id}/adapters/import", files={"file": adapter_file()})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _pictures(tenant: Tenant, hand: Hand, identity_id: str) -> list[str]:
    """Restore a photo of a person, and one of them beside another; return the paths of all pictures of theirs."""
    other = tenant.identity()
    tenant.reference(other, seed=5)
    hand.work()
    faces = json.dumps([{"identity_id": other}, {"identity_id": identity_id}])
    group = tenant.http.post("/v1/restorations", data={"faces": faces}, files={"image": png(2)}).json()["id"]
    alone = tenant.restoration(identity_id)["id"]
    hand.work()
    reference = tenant.http.get(f"/v1/identities/{identity_id}/references").json()["data"][0]["id"]
    results = [f"/v1/restorations/{row_id}/{kind}" for row_id in (alone, group) for kind in ("image", "comparison")]
    return [f"/v1/references/{reference}/image", *results]


def test_no_picture_of_a_held_person_goes_out(service: Service, tenant: Tenant, hand: Hand, person: str) -> None:
    """Photos and results of somebody on hold are refused, also those with others in them, until they are free."""
    paths = _pictures(tenant, hand, person)
    for held, wanted in ((True, (409, "state_conflict")), (False, (200, ""))):
        _hold(service, tenant, person, held)
        for path in paths:
            answer = tenant.http.get(path)
            assert (answer.status_code, "" if answer.is_success else answer.json()["code"]) == wanted, path


def test_no_adapter_of_a_held_person_is_used(service: Service, tenant: Tenant, person: str) -> None:
    """The adapter of somebody on hold is neither handed out nor made the active one."""
    adapter = f"/v1/adapters/{_brought(tenant, person)}"
    _hold(service, tenant, person, True)
    answers = [tenant.http.get(f"{adapter}/download"), tenant.http.post(f"{adapter}/activate")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "state_conflict")] * 2
    actions = [event["action"] for event in tenant.http.get("/v1/audit-events").json()["data"]]
    assert "adapter.downloaded" not in actions
    _hold(service, tenant, person, False)
    assert tenant.http.get(f"{adapter}/download").content == adapter_file()
    assert tenant.http.post(f"{adapter}/activate").json()["state"] == "active"


def test_who_agreed_no_longer_is_only_looked_at(service: Service, tenant: Tenant, hand: Hand, person: str) -> None:
    """When a consent has run out no adapter is handed out or made active; pictures are shown until they are erased."""
    paths, adapter = _pictures(tenant, hand, person), f"/v1/adapters/{_brought(tenant, person)}"
    with service.parts.database.transaction(tenant.id) as session:
        session.execute(update(models.Consent).where(models.Consent.identity_id == person).values(expires_at=now(-1)))
    answers = [tenant.http.get(f"{adapter}/download"), tenant.http.post(f"{adapter}/activate")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "consent_required")] * 2
    assert {tenant.http.get(path).status_code for path in paths} == {200}
    assert tenant.http.delete(f"/v1/identities/{person}").status_code == 202
    assert {tenant.http.get(path).status_code for path in paths} == {410}
