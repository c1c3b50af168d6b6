"""Every route, for every kind of caller and id: generated from the OpenAPI document, so that no route is forgotten."""

import json
from typing import Any

import httpx2
import pytest

from tests.api.hand import Hand
from tests.api.operations import Makings, Operation, body_of, operations
from tests.api.service import SCOPES, Service, Tenant

OPERATIONS = operations()
WITH_IDS = [operation for operation in OPERATIONS if operation.parts]
OPERATORS = [operation for operation in WITH_IDS if operation.path.startswith("/v1/admin")]
TENANTS = [operation for operation in WITH_IDS if operation not in OPERATORS]
DELETABLE = {"reference_id": "references", "adapter_id": "adapters", "restoration_id": "restorations"}
SHAPES = ("x", "%00", "%F0%9F%98%80", "..%2f..", "a" * 3000, "idn_" + "Z" * 32, "-1", "%ff")
NOT_2XX = {"get_session": 409}
"""What a key gets where only a cookie is of use."""


def _named(operation: Operation) -> str:
    return operation.name


@pytest.fixture
def makings(service: Service, hand: Hand) -> Makings:
    """Makes what paths name."""
    return Makings(service, hand)


@pytest.fixture(scope="module")
def callers(service: Service) -> dict[str, Tenant]:
    """One tenant for each scope, with a key of that scope only."""
    return {scope: service.tenant((scope,)) for scope in SCOPES}


@pytest.fixture(scope="module")
def anybody(service: Service) -> Tenant:
    """A tenant with nothing, that may do everything."""
    return service.tenant()


@pytest.fixture(scope="module")
def foreign(service: Service) -> dict[str, str]:
    """One thing of each kind, all of another tenant."""
    makings, stranger = Makings(service, Hand(service)), service.tenant()
    return {part: makings.id_of(part, stranger) for operation in TENANTS for part in operation.parts}


def _call(client: httpx2.Client, operation: Operation, part_id: str, body: Any = None) -> httpx2.Response:
    path = operation.path
    for part in operation.parts:
        path = path.replace("{" + part + "}", part_id)
    return client.request(operation.method, path, **(body_of(operation.name) if body is None else body))


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["detail"]
    return {name: value for name, value in told.items() if name != "request_id"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=_named)
def test_without_a_key(operation: Operation, service: Service) -> None:
    """No key, a wrong key and a key of another shape are all 401."""
    with service.client(None) as client:
        for given in (None, "Bearer idr_live_" + "0" * 32 + "_" + "0" * 64, "Basic eDp5", "Bearer x"):
            client.headers = httpx2.Headers({"Authorization": given} if given else {})
            answer = _call(client, operation, "idn_0")
            assert answer.status_code == 401
            assert _problem(answer)["code"] == "unauthenticated"
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.scopes], ids=_named)
def test_with_a_wrong_scope(operation: Operation, callers: dict[str, Tenant], foreign: dict[str, str]) -> None:
    """A key without the scope gets 403, before its id or its body is looked at."""
    wrong = next(scope for scope in SCOPES if scope not in operation.scopes)
    answer = _call(callers[wrong].http, operation, next(iter(foreign.values())), {"content": b"{"})
    assert answer.status_code == 403
    assert _problem(answer)["code"] == "forbidden"


@pytest.mark.parametrize("operation", OPERATIONS, ids=_named)
def test_of_ones_own(operation: Operation, tenant: Tenant, makings: Makings) -> None:
    """A key with the scope gets one's own things."""
    if operation.name == "start_restoration":
        makings.identity(tenant)
    part_id = makings.id_of(operation.parts[0], tenant) if operation.parts else ""
    if operation.name == "cancel_job":
        part_id = makings.waiting_job(tenant)
    answer = _call(tenant.http, operation, part_id, body_of(operation.name, tenant))
    expected = NOT_2XX.get(operation.name)
    assert answer.status_code == expected if expected else answer.is_success, answer.text


@pytest.mark.parametrize("operation", TENANTS, ids=_named)
def test_of_another_tenant(operation: Operation, anybody: Tenant, foreign: dict[str, str]) -> None:
    """Another tenant's id is, byte for byte, the 404 of an id that never was."""
    part = operation.parts[0]
    theirs = foreign[part]
    absent = theirs[:-6] + ("000000" if not theirs.endswith("000000") else "111111")
    answers = [_call(anybody.http, operation, part_id) for part_id in (theirs, absent)]
    assert [answer.status_code for answer in answers] == [404, 404]
    first, second = (answer.text.replace(answer.headers["x-request-id"], "") for answer in answers)
    assert first == second
    assert _problem(answers[0])["code"] == "not_found"


@pytest.mark.parametrize("operation", OPERATORS, ids=_named)
def test_of_what_an_operator_lacks(operation: Operation, anybody: Tenant) -> None:
    """An id that names no tenant and no worker is 404 for an operator too."""
    answer = _call(anybody.http, operation, "ten_" + "0" * 32)
    assert answer.status_code == 404
    assert _problem(answer)["code"] == "not_found"


@pytest.mark.parametrize("operation", WITH_IDS, ids=_named)
def test_of_another_shape(operation: Operation, anybody: Tenant) -> None:
    """An id of whatever shape is 404, and nothing else."""
    for shape in SHAPES:
        answer = _call(anybody.http, operation, shape)
        assert answer.status_code == 404, shape
        assert _problem(answer)["code"] == "not_found"


@pytest.mark.parametrize("operation", [one for one in TENANTS if one.parts[0] in DELETABLE], ids=_named)
def test_of_what_is_deleted(operation: Operation, tenant: Tenant, makings: Makings) -> None:
    """What one has deleted is 410 from then on."""
    part = operation.parts[0]
    part_id = makings.id_of(part, tenant)
    assert tenant.http.delete(f"/v1/{DELETABLE[part]}/{part_id}").status_code == 204
    answer = _call(tenant.http, operation, part_id)
    assert answer.status_code == 410
    assert _problem(answer)["code"] == "gone"


@pytest.mark.parametrize("operation", [one for one in TENANTS if one.parts[0] == "identity_id"], ids=_named)
def test_of_an_erased_person(operation: Operation, tenant: Tenant, makings: Makings) -> None:
    """An erased person is 410, and every list has forgotten them."""
    identity_id = makings.identity(tenant)
    erasure = tenant.http.delete(f"/v1/identities/{identity_id}").json()
    makings.erased(identity_id, erasure["id"], tenant)
    answer = _call(tenant.http, operation, identity_id)
    assert answer.status_code == 410
    assert _problem(answer)["code"] == "gone"
    assert identity_id not in json.dumps(tenant.http.get("/v1/identities").json())
