"""Alive, ready, counted: what an operator's machinery asks."""

import threading
from pathlib import Path

from api.app import create_app
from api.parts import parts_from
from store.doorbell import LocalDoorbell
from store.settings import load
from tests.api.hand import Hand
from tests.api.service import Service, Tenant, serving


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
