"""Alive, ready, counted: what an operator's machinery asks."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from api import shared_answer
from api.app import create_app
from api.metrics import Metrics
from api.parts import Parts, parts_from
from store.doorbell import LocalDoorbell
from store.settings import load
from tests.api.hand import Hand
from tests.api.service import Service, Tenant, serving

MANY = 60
"""More requests than the service has threads."""


def test_alive_and_ready(service: Service) -> None:
    """A whole service is alive and ready, without a key."""
    with service.client(None) as client:
        assert client.get("/livez").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}


def test_not_ready_without_its_parts(tmp_path: Path) -> None:
    """Without a schema or storage it is not ready, and says what is missing; alive it is."""
    parts = parts_from(load(tmp_path), LocalDoorbell(threading.Event()))
    create_app(parts)
    assert parts.missing() == ["schema of this version"]
    parts.close()
    with serving(tmp_path / "whole") as service:
        folder = next(path for path in (tmp_path / "whole").iterdir() if path.is_dir())
        folder.rename(tmp_path / "elsewhere")
        with service.client(None) as client:
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert "storage" in answer.json()["detail"]
            assert client.get("/livez").status_code == 200


def test_the_numbers_name_routes_and_lanes_but_nobody(service: Service, tenant: Tenant, hand: Hand) -> None:
    """Metrics count by route pattern and show the queues; no id of anybody is a label."""
    identity_id = tenant.identity()
    tenant.http.get(f"/v1/identities/{identity_id}")
    tenant.http.head(f"/v1/identities/{identity_id}")
    tenant.http.get("/v1/nothing/" + identity_id)
    tenant.reference(identity_id)
    with service.client(None) as client:
        text = client.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/v1/identities/{identity_id}",status="200"}' in text
    assert 'http_requests_total{method="HEAD",route="/v1/identities/{identity_id}",status="200"}' in text
    assert 'route="unmatched",status="404"' in text
    assert 'queue_depth{kind="assess"} 1.0' in text
    assert identity_id not in text
    assert tenant.id not in text
    hand.work()


@pytest.mark.parametrize(("path", "place", "name"), [("/readyz", Parts, "missing"), ("/metrics", Metrics, "text")])
def test_strangers_hold_up_nobody(
    path: str, place: type, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask without a key, one of them is worked for, and all the others wait without a thread."""
    opened, begun, work = threading.Event(), [], getattr(place, name)

    def held(whose: object) -> object:
        begun.append(path)
        assert opened.wait(60)
        return work(whose)

    monkeypatch.setattr(shared_answer, "_PATIENCE_SECONDS", 3600.0)
    monkeypatch.setattr(place, name, held)
    with serving(tmp_path) as service, ThreadPoolExecutor(MANY) as pool:
        tenant = service.tenant()
        asked = [pool.submit(httpx2.get, service.url + path, timeout=60) for _ in range(MANY)]
        deadline = time.monotonic() + 20
        while not begun and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)  # until the others have come
        try:
            assert tenant.http.get("/v1/identities", timeout=20).status_code == 200
            assert tenant.http.get("/livez", timeout=20).status_code == 200
            assert begun == [path]
        finally:
            opened.set()
        told = {answer.result().status_code for answer in asked}
        assert told <= {200, 503}
        assert httpx2.get(service.url + path, timeout=60).status_code == 200
        assert len(begun) > 1


def test_what_says_nothing_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question without an answer holds up those who come later for a while only; each answer is of its own time."""
    monkeypatch.setattr(shared_answer, "_PATIENCE_SECONDS", 0.05)
    silent = threading.Event()
    answers = iter(range(10))

    def work_out() -> int:
        number = next(answers)
        if number == 0:
            assert silent.wait(20)
        return number

    async def story() -> list[int]:
        shared = shared_answer.SharedAnswer(work_out)
        first = asyncio.create_task(shared.answer())
        await asyncio.sleep(0.2)
        later = [await shared.answer(), await shared.answer()]
        silent.set()
        return [*later, await first]

    assert asyncio.run(story()) == [1, 2, 0]
