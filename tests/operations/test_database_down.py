"""Days on which Postgres is stopped, or hangs: the API says so at once, nothing waits for ever, and all of it heals."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2
import pytest

from store.doorbell import LocalDoorbell
from store.settings import load
from tests.api.hand import Hand
from tests.api.service import CONSENT, Service, Tenant, png, served
from tests.servers import OwnServer, database_of, own_postgres

AT_ONCE_SECONDS = 2.0
HEALED_SECONDS = 10.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnServer]:
    """A Postgres server that these tests may stop."""
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, postgres: OwnServer) -> Iterator[Service]:
    """A service over that server."""
    with database_of(postgres.url, "idprefer") as url:
        settings = load(tmp_path_factory.mktemp("data"))
        changes = {"database_url": url, "requests_per_minute": 1_000_000}
        with served(settings.model_copy(update=changes), LocalDoorbell(threading.Event())) as running:
            yield running


@contextmanager
def stopped(server: OwnServer) -> Iterator[None]:
    """Stop the server as an operator does, for as long as the block lasts."""
    server.end(signal.SIGINT)
    try:
        yield
    finally:
        server.start()


@contextmanager
def hanging(server: OwnServer) -> Iterator[None]:
    """Let the server take connections and say nothing, for as long as the block lasts."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in (pid, *map(int, children)):
            os.kill(each, signal.SIGCONT)


def refusals(tenant: Tenant, identity_id: str) -> list[tuple[httpx2.Response, float]]:
    """Ask for one of everything; return the answers and how long each took."""
    http = tenant.http
    requests: list[Callable[[], httpx2.Response]] = [
        lambda: http.get("/v1/identities"),
        lambda: http.post("/v1/identities", json={"name": "Ada"}),
        lambda: http.post(f"/v1/identities/{identity_id}/consents", json=CONSENT),
        lambda: http.post(f"/v1/identities/{identity_id}/references", files=[("files", png(1))]),
        lambda: http.post(
            "/v1/restorations",
            data={"identity_id": identity_id},
            files={"image": png(2)},
            headers={"Prefer": "wait=30"},
        ),
        lambda: http.get("/readyz", headers={"Authorization": ""}),
    ]
    timed = []
    for ask in requests:
        started = time.monotonic()
        answer = ask()
        timed.append((answer, time.monotonic() - started))
    return timed


@pytest.mark.parametrize("trouble", [stopped, hanging])
def test_refused_at_once_and_healed_soon(
    service: Service, postgres: OwnServer, trouble: Callable[[OwnServer], AbstractContextManager[None]]
) -> None:
    """Without its database every request is 503 with Retry-After within two seconds; ten seconds after, all is well."""
    tenant = service.tenant()
    identity_id = tenant.identity()
    reference_id = tenant.reference(identity_id)["id"]
    with trouble(postgres):
        for answer, seconds in refusals(tenant, identity_id):
            assert answer.status_code == 503, answer.text
            assert answer.json()["retryable"]
            assert int(answer.headers["Retry-After"]) >= 1
            assert seconds < AT_ONCE_SECONDS
        with service.client(None) as client:
            assert client.get("/livez").status_code == 200
            assert client.get("/metrics").status_code == 200
    deadline = time.monotonic() + HEALED_SECONDS
    while tenant.http.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert Hand(service).work("assess") >= 1
    shown = tenant.http.get(f"/v1/references/{reference_id}")
    assert shown.json()["state"] == "accepted"
    assert [one["id"] for one in tenant.http.get("/v1/identities").json()["data"]] == [identity_id]


def test_whoever_waits_waits_on(service: Service, postgres: OwnServer) -> None:
    """A client that waits for its job while the database is restarted has the result in the same answer."""
    tenant = service.tenant()
    identity_id = tenant.identity()
    answers: list[httpx2.Response] = []

    def ask() -> None:
        files = [("files", png(3))]
        path = f"/v1/identities/{identity_id}/references"
        answers.append(tenant.http.post(path, files=files, headers={"Prefer": "wait=60"}))

    waiting = threading.Thread(target=ask)
    waiting.start()
    while not tenant.http.get("/v1/jobs").json()["data"]:
        time.sleep(0.05)
    with stopped(postgres):
        time.sleep(0.5)
    assert Hand(service).work("assess") == 1
    waiting.join(30)
    assert answers[0].status_code == 201, answers[0].text
    assert answers[0].json()["data"][0]["state"] == "accepted"
