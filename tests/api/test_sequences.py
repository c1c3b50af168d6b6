"""Sequences of made-up requests to things that are there: what one request leaves, the next one finds."""

import json
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.api.hand import Hand
from tests.api.operations import DOCUMENT, Makings
from tests.api.service import Service, Tenant
from tests.api.test_fuzz import ALWAYS

PARTS = {
    "idn": "identity_id", "con": "consent_id", "ref": "reference_id", "adp": "adapter_id", "res": "restoration_id",
    "job": "job_id", "whe": "endpoint_id", "dlv": "delivery_id", "key": "key_id", "era": "erasure_id",
    "wrk": "worker_id",
}  # fmt: skip
_ID = re.compile(r'"([a-z]{3})_([0-9a-f]{32})"')
# Left out: what would lock the sequence itself out, and what answers only when somebody else has done something.
LEFT_OUT = ("revoke_api_key", "rotate_api_key", "update_tenant", "stream_job_events")
FEW = settings(
    max_examples=5,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=700, derandomize=False)


def _schema() -> Any:
    schema: Any = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()))
    for name in LEFT_OUT:
        schema = schema.exclude(operation_id=name)
    return schema


def _run(service: Service, tenant: Tenant, hand: Hand, chosen: settings) -> set[int]:
    """Run sequences; return the statuses that were seen."""
    makings = Makings(service, hand)
    known: dict[str, list[str]] = {part: [makings.id_of(part, tenant)] for part in PARTS.values()}
    statuses: set[int] = set()

    class Sequence(_schema().as_state_machine()):  # type: ignore[misc]
        """Calls operations one after the other, on the newest things there are."""

        def before_call(self, case: Any) -> None:
            """Name something that is there, where something is named."""
            given = case.path_parameters or {}
            case.path_parameters = {part: known[part][-1] if part in known else value for part, value in given.items()}

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            """Send it to the service, with the key."""
            return {"base_url": service.url, "headers": {"Authorization": f"Bearer {tenant.token}"}}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            """Check the answer, and remember what it names."""
            statuses.add(response.status_code)
            case.validate_response(response, checks=ALWAYS)
            if response.headers.get("content-type", [""])[0].startswith("application/json"):
                for prefix, digits in _ID.findall(response.text):
                    if prefix in PARTS:
                        known[PARTS[prefix]].append(f"{prefix}_{digits}")

    with hand.working():
        Sequence.run(settings=chosen)
    return statuses


def test_some_sequences(service: Service, tenant: Tenant, hand: Hand) -> None:
    """A few sequences of eight requests: no failure of ours, and every answer as the document says."""
    assert _run(service, tenant, hand, FEW) & {200, 201, 202, 204}


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_very_many_sequences(service: Service, tenant: Tenant, hand: Hand) -> None:
    """Seven hundred sequences: more than five thousand requests that build on one another."""
    assert _run(service, tenant, hand, MANY) >= {200, 201, 202, 204, 404, 409, 422}
