"""Consent: nothing starts without it, and everything ends with it."""

import json

import pytest

from tests.api.hand import Hand
from tests.api.service import CONSENT, Tenant, png


def _restore(tenant: Tenant, identity_id: str) -> tuple[int, str]:
    answer = tenant.http.post("/v1/restorations", data={"identity_id": identity_id}, files={"image": png()})
    return answer.status_code, answer.json().get("code", "")


def test_nothing_is_taken_without_consent(tenant: Tenant) -> None:
    """Without a live record there is no photo, no training, no restoration and no import: 409 consent_required."""
    identity_id = tenant.identity(consent=False)
    path = f"/v1/identities/{identity_id}"
    answers = [
        tenant.http.post(f"{path}/references", files=[("files", png())]),
        tenant.http.post(f"{path}/trainings", json={}),
        tenant.http.post(f"{path}/adapters/import", files={"file": b"x"}),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "consent_required")] * 3
    assert f"POST {path}/consents" in answers[0].json()["detail"]
    assert _restore(tenant, identity_id) == (409, "consent_required")


def test_a_photo_is_not_even_decoded_without_consent(tenant: Tenant) -> None:
    """The refusal comes before a byte of the photo is looked at."""
    path = f"/v1/identities/{tenant.identity(consent=False)}/references"
    assert tenant.http.post(path, files=[("files", b"no photo")]).json()["code"] == "consent_required"


def test_a_photo_to_restore_is_not_even_decoded_without_consent(tenant: Tenant) -> None:
    """Nor is one that is to be restored, of somebody who did not agree or of nobody, alone or beside others."""
    willing, unwilling = tenant.identity(), tenant.identity(consent=False)
    for identity_id, code in ((unwilling, "consent_required"), ("idn_" + "0" * 32, "not_found")):
        alone = {"identity_id": identity_id}
        beside = {"faces": json.dumps([{"identity_id": willing}, {"identity_id": identity_id}])}
        for data in (alone, beside):
            answer = tenant.http.post("/v1/restorations", data=data, files={"image": b"no photo"})
            assert answer.json()["code"] == code


@pytest.mark.parametrize(("purposes", "may_add", "may_restore"), [(["train"], 202, 409), (["restore"], 409, 409)])
def test_a_purpose_covers_itself_only(tenant: Tenant, purposes: list[str], may_add: int, may_restore: int) -> None:
    """Who agreed to train has not agreed to restore, and the other way round."""
    identity_id = tenant.identity(consent=False)
    tenant.http.post(f"/v1/identities/{identity_id}/consents", json={**CONSENT, "purposes": purposes})
    answer = tenant.http.post(f"/v1/identities/{identity_id}/references", files=[("files", png())])
    assert answer.status_code == may_add
    assert _restore(tenant, identity_id)[0] == may_restore


def test_withdrawing_stops_jobs_and_erases(tenant: Tenant, hand: Hand) -> None:
    """Withdrawing stops what runs, hides what was, and names the erasure that it began."""
    identity_id = tenant.identity()
    reference = tenant.reference(identity_id)
    claim = hand.claim("assess")
    assert claim is not None
    consent = tenant.http.get(f"/v1/identities/{identity_id}/consents").json()["data"][0]
    answer = tenant.http.post(f"/v1/consents/{consent['id']}/withdraw", json={"reason": "changed my mind"})
    assert answer.status_code == 200
    assert answer.json()["consent"]["withdrawn_at"] is not None
    erasure = tenant.http.get(f"/v1/erasures/{answer.json()['erasure_id']}").json()
    assert (erasure["identity_id"], erasure["reason"]) == (identity_id, "consent_withdrawn")
    assert tenant.http.get(f"/v1/jobs/{reference['job_id']}").json()["state"] == "canceling"
    assert tenant.http.get(f"/v1/references/{reference['id']}/image").status_code == 410
    assert tenant.http.get(f"/v1/identities/{identity_id}").json()["state"] == "erasing"
    assert _restore(tenant, identity_id)[0] == 409
    hand.stopped(claim)


def test_withdrawing_evaluation_ends_only_that(tenant: Tenant) -> None:
    """Without `evaluate` training and restoring go on."""
    identity_id = tenant.identity(consent=False)
    purposes = ["train", "restore", "evaluate"]
    made = tenant.http.post(f"/v1/identities/{identity_id}/consents", json={**CONSENT, "purposes": purposes}).json()
    answer = tenant.http.post(f"/v1/consents/{made['id']}/withdraw", json={"purposes": ["evaluate"]})
    assert answer.json()["erasure_id"] is None
    assert sorted(answer.json()["consent"]["purposes"]) == ["restore", "train"]
    assert tenant.reference(identity_id)["state"] == "checking"


def test_a_consent_keeps_the_hash_of_its_text(tenant: Tenant) -> None:
    """The text itself is not kept; its digest is."""
    identity_id = tenant.identity()
    shown = tenant.http.get(f"/v1/identities/{identity_id}/consents").json()["data"][0]
    assert len(shown["text_sha256"]) == 64
    assert "I agree" not in str(shown)


def test_withdrawing_twice(tenant: Tenant) -> None:
    """What is withdrawn cannot be withdrawn again."""
    identity_id = tenant.identity()
    consent = tenant.http.get(f"/v1/identities/{identity_id}/consents").json()["data"][0]
    path = f"/v1/consents/{consent['id']}/withdraw"
    codes = [tenant.http.post(path, json={}).status_code for _ in range(2)]
    assert codes == [200, 409]


def test_an_erasure_ends_with_a_signed_receipt(tenant: Tenant) -> None:
    """Deleting a person is 202 and names the erasure; deleting again names the same one."""
    identity_id = tenant.identity()
    first, second = (tenant.http.delete(f"/v1/identities/{identity_id}") for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["location"] == f"/v1/erasures/{first.json()['id']}"
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["state"] == "queued"
