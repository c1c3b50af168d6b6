"""Requests made up from the OpenAPI document: no failure of ours, and every answer as the document says."""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks

from tests.api.operations import DOCUMENT
from tests.api.sequences import ALWAYS
from tests.api.service import Service, Tenant

CHECKS = [*ALWAYS, checks.negative_data_rejection]
FEW = settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=100, derandomize=False)
schema = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()))


@pytest.fixture(scope="module")
def fuzzed(service: Service) -> Tenant:
    """The tenant that bears it."""
    return service.tenant()


@schema.parametrize()
@FEW
def test_made_up_requests(case: Any, service: Service, fuzzed: Tenant) -> None:
    """A few requests to each operation, well-formed and ill-formed."""
    _try(case, service, fuzzed)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@schema.parametrize()
@MANY
def test_very_many_made_up_requests(case: Any, service: Service, fuzzed: Tenant) -> None:
    """A hundred requests to each operation, others each time: more than five thousand."""
    _try(case, service, fuzzed)


def _try(case: Any, service: Service, fuzzed: Tenant) -> None:
    answer = case.call(base_url=service.url, headers={"Authorization": f"Bearer {fuzzed.token}"})
    case.validate_response(answer, checks=CHECKS)
