"""Waiting for jobs: Prefer: wait, events with resume, cancel, retry."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2

from tests.api.hand import Hand
from tests.api.service import Service, Tenant, png


def _events(answer: httpx2.Response) -> Iterator[dict[str, Any]]:
    told: dict[str, Any] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line == "" and told:
            yield told
            told = {}
        elif name in {"event", "id", "data"}:
            told[name] = json.loads(value) if name == "data" else value


def _ready(tenant: Tenant, hand: Hand) -> str:
    identity_id = tenant.identity()
    tenant.reference(identity_id)
    hand.work()
    return identity_id


def test_a_restoration_that_ends_in_time_is_200(tenant: Tenant, hand: Hand) -> None:
    """`Prefer: wait` answers as soon as the job has ended, with the result."""
    identity_id = _ready(tenant, hand)
    with hand.working():
        started = time.monotonic()
        answer = tenant.http.post(
            "/v1/restorations",
            data={"identity_id": identity_id},
            files={"image": png()},
            headers={"Prefer": "wait=20"},
        )
    assert answer.status_code == 200
    assert answer.json()["state"] == "succeeded"
    assert time.monotonic() - started < 5
    assert "retry-after" not in answer.headers
    assert tenant.http.get(answer.json()["image_url"]).headers["content-type"] == "image/png"


def test_a_restoration_that_does_not_end_is_202(tenant: Tenant, hand: Hand) -> None:
    """When the time is up the answer is as without waiting."""
    identity_id = _ready(tenant, hand)
    answer = tenant.http.post(
        "/v1/restorations", data={"identity_id": identity_id}, files={"image": png()}, headers={"Prefer": "wait=1"}
    )
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    assert answer.headers["location"] == f"/v1/restorations/{answer.json()['id']}"
    assert int(answer.headers["retry-after"]) > 0
    hand.work()


def test_references_wait_for_their_verdicts(tenant: Tenant, hand: Hand) -> None:
    """An upload that waits comes back with the verdict on each photo."""
    identity_id = tenant.identity()
    with hand.working():
        answer = tenant.http.post(
            f"/v1/identities/{identity_id}/references",
            files=[("files", png(1)), ("files", png(2))],
            headers={"Prefer": "wait=20"},
        )
    assert answer.status_code == 201
    assert [photo["state"] for photo in answer.json()["data"]] == ["accepted", "accepted"]


def test_a_training_waits(tenant: Tenant, hand: Hand) -> None:
    """A training that ends in time is 200 and names its adapter."""
    identity_id = _ready(tenant, hand)
    with hand.working():
        answer = tenant.http.post(
            f"/v1/identities/{identity_id}/trainings", json={"preset": "fast"}, headers={"Prefer": "wait=20"}
        )
    assert answer.status_code == 200
    assert answer.json()["state"] == "succeeded"
    person = tenant.http.get(f"/v1/identities/{identity_id}").json()
    assert (person["state"], person["active_adapter_id"]) == ("personalized", answer.json()["adapter_id"])


def test_a_photo_that_cannot_be_judged_is_not_waited_for(tenant: Tenant, hand: Hand) -> None:
    """Where the judging fails the photo says so, and what to do; done again, there is a verdict."""
    photo = tenant.reference(tenant.identity())
    claim = hand.claim("assess")
    assert claim is not None
    hand.fail(claim, "internal")
    path = f"/v1/references/{photo['id']}"
    told = tenant.http.get(path).json()
    assert told["state"] == "failed"
    assert "retry its job" in told["advice"]
    assert tenant.http.post(f"/v1/jobs/{told['job_id']}/retry").status_code == 202
    assert tenant.http.get(path).json()["state"] == "checking"
    hand.work()
    assert tenant.http.get(path).json()["state"] == "accepted"


def test_events_come_as_they_happen_and_end_with_the_job(tenant: Tenant, hand: Hand) -> None:
    """A stream tells what has happened, then what happens, each once and in order, and ends."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    with tenant.http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        events = _events(answer)
        assert next(events)["event"] == "queued"
        claim = hand.claim("assess")
        assert claim is not None
        assert next(events)["event"] == "started"
        hand.progress(claim, 3)
        told = next(events)
        assert (told["event"], told["data"]["data"]["step"]) == ("progress", 3)
        hand.finish(claim)
        rest = list(events)
    assert [event["event"] for event in rest] == ["succeeded"]
    assert rest[-1]["id"] == "4"


def test_a_stream_resumes_after_the_last_event_seen(tenant: Tenant, hand: Hand) -> None:
    """With Last-Event-ID nothing is told twice and nothing is left out."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    hand.work()
    path = f"/v1/jobs/{job_id}/events"
    with tenant.http.stream("GET", path) as answer:
        whole = [event["id"] for event in _events(answer)]
    assert whole == ["1", "2", "3"]
    for seen in ("0", "1", "3", "999999999999999"):
        with tenant.http.stream("GET", path, headers={"Last-Event-ID": seen}) as answer:
            assert [event["id"] for event in _events(answer)] == [one for one in whole if int(one) > int(seen)]
    assert tenant.http.get(path, headers={"Last-Event-ID": "x"}).status_code == 422


def test_many_streams_hold_no_thread(service: Service, tenant: Tenant, hand: Hand) -> None:
    """Streams wait without a thread each, and all of them end with the job."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"Authorization": f"Bearer {tenant.token}"}
    with httpx2.Client(base_url=service.url, headers=headers, limits=limits, timeout=30) as client:
        streams = [client.stream("GET", f"/v1/jobs/{job_id}/events") for _ in range(60)]
        before = threading.active_count()
        opened = [stream.__enter__() for stream in streams]
        assert threading.active_count() <= before + 41  # the server's pool for short work, however many wait
        hand.work()
        assert all([event["event"] for event in _events(answer)][-1] == "succeeded" for answer in opened)
        for stream in streams:
            stream.__exit__(None, None, None)


def test_a_waiting_job_is_canceled_at_once(tenant: Tenant) -> None:
    """A job that waits is canceled at once; again is no harm."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    first, second = (tenant.http.post(f"/v1/jobs/{job_id}/cancel") for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["state"] == "canceled"


def test_a_running_job_is_told_to_stop(tenant: Tenant, hand: Hand) -> None:
    """A job that runs is canceling until its worker has stopped."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    claim = hand.claim("assess")
    assert claim is not None
    answer = tenant.http.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "canceling")
    hand.stopped(claim)
    assert tenant.http.get(f"/v1/jobs/{job_id}").json()["state"] == "canceled"


def test_an_ended_job_is_not_canceled(tenant: Tenant, hand: Hand) -> None:
    """A job that has succeeded cannot be canceled, nor retried."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    hand.work()
    for action in ("cancel", "retry"):
        answer = tenant.http.post(f"/v1/jobs/{job_id}/{action}")
        assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")


def test_a_failed_job_is_retried(tenant: Tenant, hand: Hand) -> None:
    """A failed job says why, and can be queued again."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    claim = hand.claim("assess")
    assert claim is not None
    hand.fail(claim)
    failed = tenant.http.get(f"/v1/jobs/{job_id}")
    assert (failed.json()["state"], failed.json()["error"]["code"]) == ("failed", "no_face")
    assert "retry-after" not in failed.headers
    answer = tenant.http.post(f"/v1/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.json()["queue"]["position"] == 0
    hand.work()
    assert tenant.http.get(f"/v1/jobs/{job_id}").json()["state"] == "succeeded"


def test_jobs_are_listed_by_kind_and_state(tenant: Tenant, hand: Hand) -> None:
    """The list can be narrowed to a kind and a state."""
    _ready(tenant, hand)
    waiting = tenant.reference(tenant.identity(), seed=5)["job_id"]

    def listed(**wanted: str) -> list[str]:
        return [job["id"] for job in tenant.http.get("/v1/jobs", params=wanted).json()["data"]]

    assert len(listed(kind="assess")) == 2
    assert listed(kind="assess", state="queued") == [waiting]
    assert listed(kind="train") == []
    assert tenant.http.get("/v1/jobs", params={"kind": "dance"}).status_code == 422
    hand.work()
