"""An API process that is told to end: whoever waits there is answered, and can go on with another process."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from store.doorbell import LocalDoorbell
from store.settings import load
from tests.api.service import Service, Tenant, png

SOON_SECONDS = 10.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service that a test ends."""
    made = Service(load(tmp_path), LocalDoorbell(threading.Event()))
    made.start()
    yield made
    made.stop()


def caller(tenant: Tenant, service: Service) -> httpx2.Client:
    """Return a client of its own, which is there when the service is not."""
    return httpx2.Client(base_url=service.url, headers={"Authorization": f"Bearer {tenant.token}"}, timeout=60)


def waiting(tenant: Tenant, service: Service, identity_id: str) -> httpx2.Response:
    """Add a photo, and wait for a verdict that does not come."""
    path, headers = f"/v1/identities/{identity_id}/references", {"Prefer": "wait=60"}
    with caller(tenant, service) as client:
        return client.post(path, files=[("files", png(1))], headers=headers)


def listening(tenant: Tenant, service: Service, job_id: str) -> tuple[int, str]:
    """Follow a job until the stream ends; return its status, and everything that came."""
    with caller(tenant, service) as client, client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        return answer.status_code, "".join(answer.iter_text())


def test_nobody_is_kept_waiting(service: Service) -> None:
    """A request that waits has the job as it is, a stream of events ends as it should, and the process soon after."""
    tenant = service.tenant()
    identity_id = tenant.identity()
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(waiting, tenant, service, identity_id)
        while not (jobs := tenant.http.get("/v1/jobs").json()["data"]):
            time.sleep(0.05)
        heard = pool.submit(listening, tenant, service, jobs[0]["id"])
        time.sleep(0.5)
        assert not asked.done()
        assert not heard.done()
        started = time.monotonic()
        service.stop()
        answer, (status, events) = asked.result(), heard.result()
    assert time.monotonic() - started < SOON_SECONDS
    assert answer.status_code == 202
    assert answer.json()["data"][0]["state"] == "checking"
    assert (status, "event: queued" in events) == (200, True)


def test_what_takes_too_long_can_be_sent_again(service: Service) -> None:
    """A request that outlasts the process's grace is a 503 with Retry-After, not a 500."""

    async def endless() -> None:
        await asyncio.sleep(60)

    service.app.add_api_route("/v1/endless", endless)
    tenant = service.tenant()
    with caller(tenant, service) as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.get, "/v1/endless")
        time.sleep(0.5)
        service.stop()
        answer = asked.result()
    assert answer.status_code == 503
    assert answer.json()["retryable"]
    assert int(answer.headers["Retry-After"]) >= 1
