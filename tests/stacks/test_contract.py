"""One contract, kept by all eight stacks: what a customer asks over HTTP, and what a real worker makes of it.

Two stacks are in the fast suite, all eight in the long one. The order of the tests matters only in that the last one
ends the worker.
"""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from core.images import Photo, encode_photo
from idprefer_client import verify_webhook
from store import models
from store.database import Database
from tests.api.service import CONSENT
from tests.stacks.receiver import receiving
from tests.stacks.stack import EIGHT, Kind, Stack, running
from tests.worker.house import photo

pytestmark = pytest.mark.timeout(1200)  # each waits for a real worker, on a machine that may do much else
PATIENCE_SECONDS = 180.0
WAIT = {"Prefer": "wait=60"}
FAST = [pytest.param(EIGHT[0], id="embedded"), pytest.param(EIGHT[-1], id="production")]
ALL = [pytest.param(kind, id=str(kind), marks=pytest.mark.prove) for kind in EIGHT]


@dataclass(frozen=True)
class Person:
    """A person of the stack's tenant, and what the service answered on the way to their adapter."""

    id: str
    photos: httpx2.Response
    training: httpx2.Response


@pytest.fixture(scope="module", params=[*FAST, *ALL])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path
) -> Iterator[Stack]:
    """A running stack."""
    kind: Kind = request.param
    with running(kind, tmp_path_factory.mktemp(str(kind)), tiny_folder) as made:
        yield made


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Person:
    """A person with a good photo, a bad one, and an adapter."""
    identity_id = stack.tenant.identity()
    nobody = encode_photo(Photo(np.zeros((64, 64, 3), np.uint8)), "png")
    photos = sent(stack, f"/v1/identities/{identity_id}/references", files=[("files", png(1)), ("files", nobody)])
    training = sent(stack, f"/v1/identities/{identity_id}/trainings", json={"preset": "fast", "steps": 2})
    return Person(identity_id, photos, training)


def png(seed: int) -> bytes:
    """Return a photo in which the tiny bundle finds a face."""
    return encode_photo(photo(seed), "png")


def sent(stack: Stack, path: str, **body: Any) -> httpx2.Response:
    """POST, and wait for the job's end: where that takes longer than one request may wait, the next one waits on."""
    body["headers"] = {"Idempotency-Key": uuid.uuid4().hex, **WAIT, **body.get("headers", {})}
    for _ in range(8):
        answer = stack.tenant.http.post(path, timeout=90, **body)
        if answer.status_code != httpx2.codes.ACCEPTED:
            break
    return answer


def restored(stack: Stack, identity_id: str, **more: Any) -> httpx2.Response:
    """Ask for a restoration, and wait for it."""
    form = {"identity_id": identity_id, "preset": "fast"}
    return sent(stack, "/v1/restorations", data=form, files={"image": png(99)}, **more)


def job(stack: Stack, job_id: str) -> dict[str, Any]:
    """Return a job."""
    shown: dict[str, Any] = stack.tenant.http.get(f"/v1/jobs/{job_id}").json()
    return shown


def becomes(stack: Stack, path: str, state: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Wait until something has a state; return it."""
    ends = time.monotonic() + seconds
    while True:
        shown: dict[str, Any] = stack.tenant.http.get(path).json()
        if shown["state"] == state:
            return shown
        assert time.monotonic() < ends, shown
        time.sleep(0.05)


def met(stack: Stack) -> str:
    """Make another person with an accepted photo; return them."""
    identity_id = stack.tenant.identity()
    answer = sent(stack, f"/v1/identities/{identity_id}/references", files=[("files", png(5))])
    assert [photo["state"] for photo in answer.json()["data"]] == ["accepted"], answer.text
    return identity_id


def endless(stack: Stack, identity_id: str) -> str:
    """Start a training that does not end by itself, and wait until it is under way; return its job."""
    answer = stack.tenant.http.post(f"/v1/identities/{identity_id}/trainings", json={"preset": "fast", "steps": 5000})
    job_id = str(answer.json()["id"])
    ends = time.monotonic() + PATIENCE_SECONDS
    while not job(stack, job_id)["progress"]:
        assert time.monotonic() < ends
        time.sleep(0.05)
    return job_id


def events(stack: Stack, job_id: str, after: int = 0) -> list[dict[str, Any]]:
    """Follow a job's stream to its end."""
    answer = stack.tenant.http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": str(after)}, timeout=90)
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


def test_nothing_without_consent(stack: Stack) -> None:
    """A photo of a person who has not agreed is refused, and one who takes it back is erased."""
    identity_id = stack.tenant.identity(consent=False)
    path = f"/v1/identities/{identity_id}"
    refused = stack.tenant.http.post(f"{path}/references", files=[("files", png(1))])
    assert (refused.status_code, refused.json()["code"]) == (409, "consent_required")
    consent = stack.tenant.http.post(f"{path}/consents", json=CONSENT).json()
    assert stack.tenant.http.post(f"/v1/consents/{consent['id']}/withdraw", json={}).is_success
    assert stack.tenant.http.get(path).json()["state"] in {"erasing", "erased"}


def test_photos_are_judged(ada: Person) -> None:
    """An upload that waits comes back with each photo's verdict."""
    assert ada.photos.status_code == 201, ada.photos.text
    good, bad = ada.photos.json()["data"]
    assert (good["state"], bad["state"], bad["reasons"]) == ("accepted", "rejected", ["no_face"])


def test_a_training_makes_an_adapter(stack: Stack, ada: Person) -> None:
    """A training that waits comes back done; its adapter is the active one, and can be taken home."""
    assert (ada.training.status_code, ada.training.json()["state"]) == (200, "succeeded"), ada.training.text
    person = stack.tenant.http.get(f"/v1/identities/{ada.id}").json()
    assert (person["state"], person["active_adapter_id"]) == ("personalized", ada.training.json()["adapter_id"])
    adapter = stack.tenant.http.get(f"/v1/adapters/{person['active_adapter_id']}/download")
    assert b"__metadata__" in adapter.content


def test_a_photo_is_restored(stack: Stack, ada: Person) -> None:
    """A restoration that waits comes back with pictures, and the service knows its own picture again."""
    answer = restored(stack, ada.id)
    shown = answer.json()
    assert (answer.status_code, shown["state"], shown["tier_used"]) == (200, "succeeded", "personalized"), answer.text
    image = stack.tenant.http.get(shown["image_url"]).content
    assert image.startswith(b"\x89PNG")
    assert stack.tenant.http.get(f"/v1/restorations/{shown['id']}/comparison").status_code == 200
    known = stack.tenant.http.post("/v1/verify", files={"file": image}).json()
    assert known["restoration_id"] == shown["id"]


def test_what_is_kept_is_sealed(stack: Stack, ada: Person) -> None:
    """No object in files or in the bucket holds a picture or an adapter that could be read."""
    kept = stack.kept()
    own = [data for name, data in kept.items() if f"/{ada.id}/" in name]
    assert len(own) >= 2  # a photo and an adapter
    assert all(data.startswith(b"IDPV1") and b"PNG" not in data and b"__metadata__" not in data for data in own)


def test_a_repetition_has_one_effect(stack: Stack, ada: Person) -> None:
    """The same request under the same key is the same restoration; another one under it is refused."""
    headers = {"Idempotency-Key": "order-1"}
    first, second = (restored(stack, ada.id, headers=headers) for _ in range(2))
    assert (first.json()["id"], second.json()["id"]) == (first.json()["id"],) * 2
    assert second.headers["idempotent-replayed"] == "true"
    other = {"identity_id": ada.id, "preset": "best"}
    refused = sent(stack, "/v1/restorations", data=other, files={"image": png(99)}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch")
    token = {"Authorization": f"Bearer {stack.tenant.token}"}

    def post(_: int) -> httpx2.Response:
        url = f"{stack.service.url}/v1/identities"
        return httpx2.post(url, json={"name": "Eve"}, headers={**token, "Idempotency-Key": "order-2"}, timeout=60)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(post, range(10)))
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert all(answer.json()["retryable"] for answer in answers if answer.status_code != 201)


def test_events_are_followed_and_resumed(stack: Stack, ada: Person) -> None:
    """A job's stream tells everything in order and ends with it; resumed, it tells the rest."""
    form = {"identity_id": ada.id, "preset": "fast"}
    started = stack.tenant.http.post("/v1/restorations", data=form, files={"image": png(5)}).json()
    told = events(stack, started["job_id"])
    assert [event["sequence"] for event in told] == list(range(1, len(told) + 1))
    assert [told[0]["type"], told[1]["type"], told[-1]["type"]] == ["queued", "started", "succeeded"]
    assert events(stack, started["job_id"], after=2) == told[2:]


def test_webhooks_are_signed_and_arrive(
    stack: Stack, ada: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A customer's server hears of a restoration, and can be sure of whom."""
    with receiving(tmp_path) as receiver:
        monkeypatch.setenv("SSL_CERT_FILE", str(receiver.certificate))
        body = {"url": receiver.url, "events": ["restoration.ready"]}
        endpoint = stack.tenant.http.post("/v1/webhook-endpoints", json=body).json()
        restoration_id = restored(stack, ada.id).json()["id"]
        ends = time.monotonic() + PATIENCE_SECONDS
        deliveries = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries"
        states = [""]
        while "delivered" not in states:
            assert time.monotonic() < ends, states
            time.sleep(0.05)
            # What happened a moment before the endpoint was there may come to it too.
            listed = stack.tenant.http.get(deliveries).json()["data"]
            states = [one["state"] for one in listed if one["payload"]["data"]["restoration_id"] == restoration_id]
        heard = [verify_webhook(data, headers, endpoint["secret"]) for headers, data in list(receiver.got)]
        assert {event.type for event in heard} == {"restoration.ready"}
        assert [event.data["restoration_id"] for event in heard].count(restoration_id) == 1
        assert stack.tenant.http.delete(f"/v1/webhook-endpoints/{endpoint['id']}").status_code == 204


def test_let_past_canceled_and_retried(stack: Stack, ada: Person) -> None:
    """On the only worker a restoration is let past a training; what is cancelled stops at once, and can be retried."""
    tenant = stack.tenant
    bob = met(stack)
    running_id = endless(stack, ada.id)
    waiting = tenant.http.post(f"/v1/identities/{bob}/trainings", json={"preset": "fast", "steps": 2})
    waiting_id = waiting.json()["id"]
    assert restored(stack, ada.id).json()["state"] == "succeeded"
    assert job(stack, running_id)["state"] == "running"
    canceled = tenant.http.post(f"/v1/jobs/{waiting_id}/cancel")
    assert (canceled.status_code, canceled.json()["state"]) == (200, "canceled")
    assert tenant.http.post(f"/v1/jobs/{running_id}/cancel").status_code == 202
    becomes(stack, f"/v1/jobs/{running_id}", "canceled", 10)
    assert tenant.http.post(f"/v1/jobs/{waiting_id}/retry").status_code == 202
    assert becomes(stack, f"/v1/jobs/{waiting_id}", "succeeded")["attempt"] == 1


def test_another_tenants_are_absent(stack: Stack, ada: Person) -> None:
    """To another tenant a person, their photos and jobs are as good as none."""
    stranger = stack.service.tenant()
    for path in (f"identities/{ada.id}", f"jobs/{ada.training.json()['id']}"):
        absent = path[:-4] + "0000"
        answers = [stranger.http.get(f"/v1/{one}") for one in (path, absent)]
        assert [answer.status_code for answer in answers] == [404, 404]
        shown = [{**answer.json(), "request_id": ""} for answer in answers]
        assert json.dumps(shown[0]).replace(path, "") == json.dumps(shown[1]).replace(absent, "")
    assert stranger.http.get("/v1/identities").json()["data"] == []


def test_a_ring_is_heard_at_once(stack: Stack, ada: Person) -> None:
    """A job starts within half a second of its request."""
    waits = []
    for _ in range(3):
        time.sleep(0.3)
        row = stack.house.job(restored(stack, ada.id).json()["job_id"])
        waits.append((row.started_at - row.queued_at).total_seconds())
    assert min(waits) < 0.5


def test_found_without_a_ring(stack: Stack, ada: Person) -> None:
    """A bell that was lost makes a job late by a few seconds, and no more."""
    row = stack.house.job_of(stack.house.restoration(ada.id, tier="instant"))
    becomes(stack, f"/v1/jobs/{row.id}", "succeeded")


def test_rings_without_number(stack: Stack, ada: Person) -> None:
    """However often it rings, a job runs once."""
    row = stack.house.job_of(stack.house.restoration(ada.id))
    for _ in range(20):
        stack.bell.wake("restore")
    becomes(stack, f"/v1/jobs/{row.id}", "succeeded")
    assert [event["type"] for event in events(stack, row.id)].count("started") == 1


def test_erased_while_it_is_worked_on(stack: Stack) -> None:
    """Erasing a person stops their training, empties the store of them, and ends in a signed receipt."""
    tenant = stack.tenant
    identity_id = met(stack)
    result = restored(stack, identity_id).json()
    assert (result["state"], result["tier_used"]) == ("succeeded", "instant")
    job_id = endless(stack, identity_id)
    erasure = tenant.http.delete(f"/v1/identities/{identity_id}")
    assert erasure.status_code == 202
    assert tenant.http.get(result["image_url"]).status_code == 410
    becomes(stack, f"/v1/jobs/{job_id}", "canceled", 10)
    done = becomes(stack, f"/v1/erasures/{erasure.json()['id']}", "completed")
    assert done["receipt"]["signature"]
    assert not [name for name in stack.kept() if f"/{identity_id}/" in name or f"/{result['id']}/" in name]
    assert tenant.http.get(f"/v1/identities/{identity_id}").status_code == 410


def test_ended_in_good_order(stack: Stack, ada: Person) -> None:
    """A worker that is told to end gives its training back with a checkpoint, without blame, and signs off."""
    job_id = endless(stack, ada.id)
    stack.end_worker()
    row = stack.house.job(job_id)
    assert (row.state, row.strikes) == ("queued", 0)
    assert row.checkpoint_step > 0
    database = Database(stack.service.settings.database_url, role="ledger")
    with database.transaction(None) as session:
        assert session.query(models.Worker).count() == 0
    database.close()
