"""The Python client against a real service, over connections that break."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
import standardwebhooks

from idprefer_client import (
    Client,
    ForgedWebhook,
    JobFailed,
    Problem,
    StillRunning,
    Unreachable,
    verify_webhook,
)
from idprefer_client.records import Identity, read
from idprefer_client.transport import pause_seconds
from tests.api.hand import Hand, adapter_file
from tests.api.service import CONSENT, Service, Tenant, png


class Lossy(httpx2.BaseTransport):
    """A connection that loses answers after the service has done its work, and cuts streams short."""

    def __init__(self, lose: int = 0, stream_bytes: int | None = None) -> None:
        self._inner = httpx2.HTTPTransport()
        self.lose = lose
        self._stream_bytes = stream_bytes
        self.sent: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and perhaps lose the answer."""
        self.sent.append(request)
        answer = self._inner.handle_request(request)
        if self.lose > 0:
            self.lose -= 1
            answer.read()
            answer.close()
            raise httpx2.ReadError("lost on the way", request=request)
        if self._stream_bytes and "event-stream" in answer.headers.get("content-type", ""):
            return httpx2.Response(200, headers=answer.headers, stream=_Cut(answer, self._stream_bytes))
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()


class _Cut(httpx2.SyncByteStream):
    def __init__(self, answer: httpx2.Response, size: int) -> None:
        self._answer, self._size = answer, size

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._answer.iter_raw():
            yield chunk
            size += len(chunk)
            if size > self._size:
                raise httpx2.ReadError("cut")

    def close(self) -> None:
        self._answer.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once."""
    monkeypatch.setattr("idprefer_client.transport.pause_seconds", lambda *_: 0.01)
    monkeypatch.setattr("idprefer_client.jobs.pause_seconds", lambda *_: 0.01)


@pytest.fixture
def client(service: Service, tenant: Tenant) -> Iterator[Client]:
    """A client of the running service."""
    with Client(service.url, tenant.token) as made:
        yield made


def test_a_whole_journey(client: Client, hand: Hand, tmp_path: Path) -> None:
    """Person, consent, photos, training, restoration, result, erasure: all through the client."""
    photos = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(photos):
        path.write_bytes(png(seed))
    person = client.identities.create("Ada")
    client.consents.record(person.id, **CONSENT)
    with hand.working():
        added = client.references.add(person.id, photos, wait_seconds=20)
        assert [(photo.filename, photo.state) for photo in added] == [(p.name, "accepted") for p in photos]
        seen: list[str] = []
        job = client.jobs.wait(
            client.trainings.start(person.id, preset="fast").id, on_event=lambda e: seen.append(e.type)
        )
        assert seen[-1] == "succeeded"
        result = client.restorations.create(png(9), identity_id=person.id, seed=7, wait_seconds=20)
    assert (result.state, result.tier_used, result.seed) == ("succeeded", "personalized", 7)
    assert result.faces[0].adapter_id == job.adapter_id
    picture = client.restorations.image(result.id)
    assert picture.startswith(b"\x89PNG")
    assert client.restorations.comparison(result.id)
    assert client.restorations.verify(picture).restoration_id == result.id
    assert client.restorations.verify(png(1000)).verdict == "unknown"
    assert client.adapters.download(str(job.adapter_id)) == adapter_file()
    erasure = client.identities.erase(person.id)
    assert client.account.erasure(erasure.id).state == "queued"
    assert {event.action for event in client.account.audit_events()} >= {"identity.created", "adapter.downloaded"}


def test_lost_answers_have_one_effect(service: Service, tenant: Tenant) -> None:
    """Where answers are lost the client repeats under the same key: one person, whichever answer came through."""
    lossy = Lossy(lose=2)
    with Client(service.url, tenant.token, http_transport=lossy) as client:
        person = client.identities.create("Ada")
        assert [one.id for one in client.identities.list()] == [person.id]
    keys = {request.headers["idempotency-key"] for request in lossy.sent if request.method == "POST"}
    assert len(keys) == 1


def test_a_lost_delete_is_done(service: Service, tenant: Tenant, hand: Hand) -> None:
    """A DELETE whose answer was lost is done when the repetition finds nothing."""
    lossy = Lossy()
    with Client(service.url, tenant.token, http_transport=lossy) as client:
        endpoint = client.webhook_endpoints.create("https://203.0.113.7/")
        lossy.lose = 1
        client.webhook_endpoints.delete(endpoint.id)
        with pytest.raises(Problem, match="404 not_found"):
            client.webhook_endpoints.delete(endpoint.id)


def test_no_answer_at_all(service: Service, tenant: Tenant) -> None:
    """Where no answer comes however often, the client says so."""
    with (
        Client(service.url, tenant.token, attempts=3, http_transport=Lossy(lose=9)) as client,
        pytest.raises(Unreachable, match="3 attempts"),
    ):
        client.identities.create("Ada")


def test_a_refusal_is_a_problem(client: Client) -> None:
    """A refusal carries the service's code, what was wanted, and the request's id; it is not repeated."""
    with pytest.raises(Problem, match="409 consent_required") as caught:
        client.references.add(client.identities.create("Ada").id, [png()])
    assert caught.value.request_id
    assert caught.value.retryable is False


def test_a_busy_service_is_asked_again(service: Service, tenant: Tenant) -> None:
    """429 and 503 are repeated; what comes from a proxy in between is judged by its status."""
    answers = iter([httpx2.Response(503, text="proxy"), httpx2.Response(429, headers={"Retry-After": "1"})])
    inner = httpx2.HTTPTransport()
    refusing = httpx2.MockTransport(lambda request: next(answers, None) or inner.handle_request(request))
    with Client(service.url, tenant.token, http_transport=refusing) as client:
        assert client.identities.create("Ada").name == "Ada"
    inner.close()


def test_pauses_grow_and_obey_the_service() -> None:
    """Pauses double up to eight seconds; Retry-After goes first."""
    assert 0.25 <= pause_seconds(1) <= 0.5
    assert 4 <= pause_seconds(9) <= 8
    assert pause_seconds(1, "7") == 7
    assert pause_seconds(1, "99999") == 60
    assert pause_seconds(1, "Wed, 21 Oct 2026 07:28:00 GMT") <= 0.5


def test_a_broken_stream_is_resumed(service: Service, tenant: Tenant, hand: Hand) -> None:
    """A stream that breaks again and again tells every event once, in order."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    claim = hand.claim("assess")
    assert claim is not None
    for step in range(5):
        hand.progress(claim, step)
    hand.finish(claim)
    lossy = Lossy(stream_bytes=1)
    with Client(service.url, tenant.token, http_transport=lossy) as client:
        assert [event.sequence for event in client.jobs.events(job_id)] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [event.sequence for event in client.jobs.events(job_id, after=6)] == [7, 8]
    resumed = [request.headers["last-event-id"] for request in lossy.sent if "events" in str(request.url)]
    assert len(resumed) > 1


def test_waiting_ends_with_the_job_or_the_time(client: Client, tenant: Tenant, hand: Hand) -> None:
    """wait() raises what went wrong, or that it still runs, and does not wait longer than it may."""
    job_id = tenant.reference(tenant.identity())["job_id"]
    started = time.monotonic()
    with pytest.raises(StillRunning, match="queued"):
        client.jobs.wait(job_id, timeout_seconds=0.3)
    assert time.monotonic() - started < 5
    claim = hand.claim("assess")
    assert claim is not None
    hand.fail(claim)
    with pytest.raises(JobFailed, match="no_face") as caught:
        client.jobs.wait(job_id)
    assert caught.value.state == "failed"
    assert client.jobs.retry(job_id).state == "queued"
    assert client.jobs.cancel(job_id).state == "canceled"


def test_every_page_of_a_list(client: Client, tenant: Tenant) -> None:
    """Lists go on over pages by themselves."""
    made = [client.identities.create(f"p{i}").id for i in range(3)]
    assert [person.id for person in client.identities.list()] == made[::-1]
    assert [job.id for job in client.jobs.list(kind="train")] == []


def test_the_rest_of_the_client(client: Client, hand: Hand) -> None:
    """Keys, endpoints, adapters, uploads and usage answer with their records."""
    person = client.identities.create("Ada", retention_seconds=3600)
    assert client.identities.update(person.id, name="Eve").name == "Eve"
    assert client.identities.get(person.id).retention_seconds == 3600
    consent = client.consents.record(person.id, **CONSENT)
    assert [one.id for one in client.consents.list(person.id)] == [consent.id]
    photo = client.references.add(person.id, [png()])[0]
    hand.work()
    assert client.references.get(photo.id).quality_words == ["sharp"]
    assert client.references.image(photo.id).startswith(b"\x89PNG")
    adapter = client.adapters.bring(person.id, adapter_file())
    assert client.adapters.activate(adapter.id).state == "active"
    assert [one.id for one in client.adapters.list(person.id)] == [adapter.id]
    upload = client.restorations.upload(png(2))
    restoration = client.restorations.create(upload, faces=[{"identity_id": person.id}])
    assert restoration.faces[0].adapter_id == adapter.id
    client.restorations.delete(restoration.id)
    client.adapters.delete(adapter.id)
    client.references.delete(photo.id)
    key = client.api_keys.create("reader", ["identities:read"])
    assert client.api_keys.rotate(key.id).key != key.key
    client.api_keys.revoke(key.id)
    endpoint = client.webhook_endpoints.create("https://203.0.113.7/", events=["job.failed"])
    assert client.webhook_endpoints.rotate_secret(endpoint.id).secret != endpoint.secret
    delivery = client.webhook_endpoints.test(endpoint.id)
    assert client.webhook_endpoints.redeliver(delivery.id).state == "pending"
    assert client.account.usage().lines[0].kind == "assess"
    assert client.consents.withdraw(consent.id).erasure_id is not None


def test_records_pass_over_what_they_do_not_know() -> None:
    """A newer service may answer with more fields; times become aware moments."""
    told = {
        "id": "idn_1", "name": "Ada", "state": "draft", "active_adapter_id": None, "retention_seconds": None,
        "created_at": "2026-01-02T03:04:05Z", "mood": "good",
    }  # fmt: skip
    assert read(Identity, told).created_at.tzinfo is not None


def test_a_webhook_is_verified() -> None:
    """What a Standard Webhooks library signs is believed, once its secret, time and bytes hold; nothing else is."""
    secret, other = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB", "whsec_" + "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC"
    body = b'{"type":"job.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"job_id":"job_1"}}'
    signer = standardwebhooks.Webhook(secret)
    now = time.time()
    headers = {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(now)),
        "Webhook-Signature": "v1,xxxx " + signer.sign("evt_1", _moment(now), body.decode()),
    }
    event = verify_webhook(body, headers, [other, secret])
    assert (event.id, event.type, event.data) == ("evt_1", "job.succeeded", {"job_id": "job_1"})
    old = {**headers, "Webhook-Timestamp": str(int(now) - 3600)}
    for bad_body, bad_headers, bad_secret in (
        (body + b" ", headers, secret), (body, headers, other), (body, old, secret), (body, {}, secret),
    ):  # fmt: skip
        with pytest.raises(ForgedWebhook):
            verify_webhook(bad_body, bad_headers, bad_secret)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
