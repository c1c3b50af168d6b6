"""Every operation of the OpenAPI document, and how a test calls it: with a body, and an id for each part."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store import erasures
from tests.api.hand import Hand, adapter_file
from tests.api.service import CONSENT, Service, Tenant, png

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "openapi.json"
HOOK = "https://203.0.113.7/hook"
"""An address that is nobody's; nothing is delivered in these tests."""


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    name: str
    method: str
    path: str
    scopes: tuple[str, ...]

    @property
    def parts(self) -> list[str]:
        """Return the names of the ids in the path."""
        return [part.split("}")[0] for part in self.path.split("{")[1:]]


def operations() -> list[Operation]:
    """Return every operation under /v1."""
    found = json.loads(DOCUMENT.read_text())["paths"]
    return [
        Operation(told["operationId"], method.upper(), path, tuple(told.get("x-scopes", ())))
        for path, methods in found.items()
        for method, told in methods.items()
        if path.startswith("/v1")
    ]


def body_of(name: str, tenant: Tenant | None = None) -> Mapping[str, Any]:
    """Return the least body that an operation takes; {} for one that takes none."""
    if name == "start_restoration":
        identity_id = usable_identity(tenant) if tenant else "idn_0"
        return {"data": {"identity_id": identity_id, "tier": "auto"}, "files": {"image": png(1)}}
    return BODIES.get(name, {})


BODIES: Mapping[str, Mapping[str, Any]] = {
    "create_identity": {"json": {"name": "Ada"}},
    "update_identity": {"json": {"name": "Ada L."}},
    "record_consent": {"json": CONSENT},
    "withdraw_consent": {"json": {}},
    "add_references": {"files": [("files", png(3))]},
    "start_training": {"json": {}},
    "import_adapter": {"files": {"file": adapter_file()}},
    "create_upload": {"files": {"file": png(4)}},
    "verify_image": {"files": {"file": png(5)}},
    "create_webhook_endpoint": {"json": {"url": HOOK}},
    "update_webhook_endpoint": {"json": {"enabled": False}},
    "rotate_webhook_secret": {"json": {}},
    "create_api_key": {"json": {"name": "second", "scopes": ["identities:read"]}},
    "rotate_api_key": {"json": {}},
    "create_tenant": {"json": {"name": "Acme"}},
    "update_tenant": {"json": {"weight": 2.0}},
    "update_tenant_retention": {"json": {"references_days": 400}},
}


class Makings:
    """Makes, for a tenant, one thing of each kind that a path can name."""

    def __init__(self, service: Service, hand: Hand) -> None:
        self._service = service
        self._hand = hand

    def id_of(self, part: str, tenant: Tenant) -> str:
        """Return the id of a new thing, finished where its kind is worked on."""
        makers: Mapping[str, Callable[[Tenant], str]] = {
            "identity_id": self.identity, "consent_id": self.consent, "reference_id": self.reference,
            "adapter_id": self.adapter, "restoration_id": self.restoration, "job_id": self.job,
            "endpoint_id": self.endpoint, "delivery_id": self.delivery, "key_id": self.key,
            "erasure_id": self.erasure, "tenant_id": self.tenant, "worker_id": self.worker,
        }  # fmt: skip
        return makers[part](tenant)

    def identity(self, tenant: Tenant) -> str:
        """A person with consent and an accepted photo."""
        identity_id = tenant.identity()
        tenant.reference(identity_id)
        self._hand.work("assess")
        return identity_id

    def consent(self, tenant: Tenant) -> str:
        """A live consent."""
        return str(tenant.http.get(f"/v1/identities/{tenant.identity()}/consents").json()["data"][0]["id"])

    def reference(self, tenant: Tenant) -> str:
        """An accepted photo."""
        reference_id = tenant.reference(tenant.identity())["id"]
        self._hand.work("assess")
        return str(reference_id)

    def adapter(self, tenant: Tenant) -> str:
        """A trained adapter."""
        job = tenant.http.post(f"/v1/identities/{self.identity(tenant)}/trainings", json={}).json()
        self._hand.work("train")
        return str(job["adapter_id"])

    def restoration(self, tenant: Tenant) -> str:
        """A restored photo."""
        restoration_id = tenant.restoration(self.identity(tenant))["id"]
        self._hand.work("restore")
        return str(restoration_id)

    def job(self, tenant: Tenant) -> str:
        """A job that has failed, so that it can be retried."""
        job_id = tenant.reference(tenant.identity(), seed=9)["job_id"]
        claim = self._hand.claim("assess")
        assert claim is not None
        self._hand.fail(claim)
        return str(job_id)

    def waiting_job(self, tenant: Tenant) -> str:
        """A job that waits, so that it can be canceled."""
        return str(tenant.reference(tenant.identity(), seed=8)["job_id"])

    def endpoint(self, tenant: Tenant) -> str:
        """A webhook endpoint."""
        return str(tenant.http.post("/v1/webhook-endpoints", json={"url": HOOK}).json()["id"])

    def delivery(self, tenant: Tenant) -> str:
        """A test event on its way."""
        return str(tenant.http.post(f"/v1/webhook-endpoints/{self.endpoint(tenant)}/test").json()["id"])

    def key(self, tenant: Tenant) -> str:
        """Another key of the tenant."""
        return str(tenant.http.post("/v1/api-keys", **body_of("create_api_key")).json()["id"])

    def erasure(self, tenant: Tenant) -> str:
        """An erasure on its way."""
        return str(tenant.http.delete(f"/v1/identities/{tenant.identity()}").json()["id"])

    def tenant(self, tenant: Tenant) -> str:
        """A tenant: what only an operator sees, of whatever tenant the operator is."""
        return self._service.tenant().id

    def worker(self, tenant: Tenant) -> str:
        """A worker process."""
        return self._hand.register()

    def erased(self, identity_id: str, erasure_id: str, tenant: Tenant) -> None:
        """Carry an erasure out."""
        parts = self._service.parts
        with self._service.ledger.transaction(tenant.id) as session:
            plan = erasures.plan(session, tenant.id, erasure_id)
            names = [stored.name for prefix in plan.prefixes for stored in parts.safe.blobs.list(prefix)]
            for name in names:
                parts.safe.blobs.delete(name)
            erasures.count_deleted(session, tenant.id, erasure_id, len(names))
            erasures.complete(session, parts.safe.vault, tenant.id, erasure_id)


def usable_identity(tenant: Tenant) -> str:
    """Return a person of the tenant whose photos can be restored at once: the newest that is ready."""
    people = tenant.http.get("/v1/identities").json()["data"]
    return str(next(person["id"] for person in people if person["state"] in {"ready", "personalized"}))
