"""Sequences of made-up requests to things that are there: what one request leaves, the next one finds."""

import json
import re
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from hypothesis.strategies import SearchStrategy

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
FEW = settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=700, derandomize=False)
LENGTH = 8


def _sequences() -> SearchStrategy[list[Any]]:
    schema: Any = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()))
    for name in LEFT_OUT:
        schema = schema.exclude(operation_id=name)
    each = [found.ok().as_strategy() for found in schema.get_all_operations()]
    return strategies.lists(strategies.one_of(each), min_size=LENGTH, max_size=LENGTH)


class Known:
    """The newest things there are, of each kind that a path can name."""

    def __init__(self, makings: Makings, tenant: Tenant) -> None:
        self._newest = {part: makings.id_of(part, tenant) for part in PARTS.values()}

    def name_in(self, case: Any) -> None:
        """Name something that is there, where something is named."""
        named = case.path_parameters or {}
        case.path_parameters = {part: self._newest.get(part, value) for part, value in named.items()}

    def learn_from(self, answer: Any) -> None:
        """Remember what an answer names."""
        for prefix, digits in _ID.findall(answer.text):
            if prefix in PARTS:
                self._newest[PARTS[prefix]] = f"{prefix}_{digits}"


def _run(service: Service, tenant: Tenant, hand: Hand, chosen: settings) -> Counter[int]:
    """Run sequences, while a hand does the work; return how often each status was seen."""
    known, seen = Known(Makings(service, hand), tenant), Counter[int]()

    @chosen
    @given(_sequences())
    def run(cases: list[Any]) -> None:
        for case in cases:
            known.name_in(case)
            answer = case.call(base_url=service.url, headers={"Authorization": f"Bearer {tenant.token}"})
            seen[answer.status_code] += 1
            case.validate_response(answer, checks=ALWAYS)
            if answer.headers.get("content-type", [""])[0].startswith("application/json"):
                known.learn_from(answer)

    with hand.working():
        run()
    return seen


def test_some_sequences(service: Service, tenant: Tenant, hand: Hand) -> None:
    """A few sequences of eight requests: no failure of ours, and every answer as the document says."""
    seen = _run(service, tenant, hand, FEW)
    assert seen[200] + seen[201] + seen[202] > 0


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_very_many_sequences(service: Service, tenant: Tenant, hand: Hand) -> None:
    """Seven hundred sequences: more than five thousand requests that build on one another."""
    seen = _run(service, tenant, hand, MANY)
    assert seen.total() >= 5000
    assert set(seen) >= {200, 201, 202, 204, 404, 409, 422}
