"""A whole service for tests: a real uvicorn over SQLite and files, tenants with keys, and a hand that does the work."""

import contextlib
import io
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from api.app import create_app
from api.parts import Parts, parts_from
from api.server import Server, server_config
from store import keys, operators, schema
from store.database import Database
from store.doorbell import Doorbell, LocalDoorbell
from store.settings import Settings, load

SCOPES = (
    "identities:read", "identities:write", "restorations:read", "restorations:write", "adapters:export",
    "adapters:import", "webhooks:admin", "keys:admin", "audit:read", "admin",
)  # fmt: skip
CONSENT = {
    "subject": "customer 17",
    "attested_by": "front desk",
    "method": "click_through",
    "purposes": ["train", "restore"],
    "text_version": "2026-01",
    "text": "I agree.",
    "jurisdiction": "DE",
}


@dataclass(frozen=True)
class Tenant:
    """A tenant and a client that holds its key."""

    id: str
    key_id: str
    token: str
    http: httpx2.Client

    def identity(self, consent: bool = True) -> str:
        """Create a person, by default with consent; return the id."""
        made = self.http.post("/v1/identities", json={"name": "Ada"})
        assert made.status_code == 201, made.text
        identity_id = str(made.json()["id"])
        if consent:
            recorded = self.http.post(f"/v1/identities/{identity_id}/consents", json=CONSENT)
            assert recorded.status_code == 201, recorded.text
        return identity_id

    def reference(self, identity_id: str, seed: int = 0) -> dict[str, Any]:
        """Add one photo; return it as the answer shows it."""
        answer = self.http.post(f"/v1/identities/{identity_id}/references", files=[("files", png(seed))])
        assert answer.status_code == 202, answer.text
        return dict(answer.json()["data"][0])

    def restoration(self, identity_id: str, **fields: str) -> dict[str, Any]:
        """Ask for a restoration; return it as the answer shows it."""
        form = {"identity_id": identity_id, **fields}
        answer = self.http.post("/v1/restorations", data=form, files={"image": png(1)})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())


class Service:
    """One running service."""

    def __init__(self, settings: Settings, doorbell: Doorbell) -> None:
        self.settings = settings
        schema.upgrade(settings.database_url)
        self.parts: Parts = parts_from(settings, doorbell)
        self.ledger = Database(self.settings.database_url, role="ledger")
        self._operator = Database(self.settings.database_url, role="operator")
        self.app = create_app(self.parts)
        self._clients = contextlib.ExitStack()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = Server(server_config(self.app, log_config=None, timeout_graceful_shutdown=2))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Serve, from a thread of its own, until the port answers."""
        self._thread.start()
        with self.client(None) as client:
            assert client.get("/livez").status_code == 200

    def stop(self) -> None:
        """Drain and end."""
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        self._clients.close()
        self.ledger.close()
        self._operator.close()

    def tenant(self, scopes: tuple[str, ...] = SCOPES) -> Tenant:
        """Make a tenant with one key of these scopes."""
        with self._operator.transaction(None) as session:
            row, _, _ = operators.create_tenant(session, f"tenant {uuid.uuid4().hex[:6]}", 1.0)
        return self._with_key(row.id, scopes)

    def other_key(self, tenant: Tenant, scopes: tuple[str, ...]) -> Tenant:
        """Return the same tenant with another key."""
        return self._with_key(tenant.id, scopes)

    def client(self, token: str | None) -> httpx2.Client:
        """Return a client with a key or without one; it is closed with the service, if not before."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx2.Client(base_url=self.url, headers=headers, timeout=60)
        self._clients.callback(client.close)
        return client

    def _with_key(self, tenant_id: str, scopes: tuple[str, ...]) -> Tenant:
        with self.parts.database.transaction(tenant_id) as session:
            key, token = keys.create(session, tenant_id, "test", scopes)
        return Tenant(tenant_id, key.id, token, self.client(token))


@contextlib.contextmanager
def serving(folder: Path, requests_per_minute: int = 1_000_000) -> Iterator[Service]:
    """Run an embedded service for a while: SQLite, files, a bell in the process."""
    settings = load(folder).model_copy(update={"requests_per_minute": requests_per_minute})
    with served(settings, LocalDoorbell(threading.Event())) as service:
        yield service


@contextlib.contextmanager
def served(settings: Settings, doorbell: Doorbell) -> Iterator[Service]:
    """Run a service of whatever parts for a while."""
    service = Service(settings, doorbell)
    try:
        service.start()
        yield service
    finally:
        service.stop()


def png(seed: int = 0, side: int = 48, format: str = "PNG") -> bytes:
    """Return a small picture of noise, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()
