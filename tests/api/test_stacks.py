"""What only the production stack can show: row-level security's operators and strangers, a Postgres that hangs up.

The contract that all stacks keep is in tests/stacks.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg
import pytest
from pydantic import SecretStr

from store.doorbell import CeleryDoorbell
from store.settings import load
from tests.api.hand import Hand
from tests.api.operations import Makings, Operation, operations
from tests.api.service import Service, Tenant, served
from tests.s3_server import S3Server, s3_server
from tests.servers import database_of, postgres_server, redis_server

READS = [one for one in operations() if one.method == "GET" and one.parts and "/admin/" not in one.path]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """An S3 server."""
    with s3_server() as running:
        yield running


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A database of our own on Postgres."""
    with postgres_server() as server, database_of(server, f"idprefer_api_{os.getpid()}") as url:
        yield url


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, s3: S3Server) -> Iterator[Service]:
    """A service as in production, but for its secrets."""
    with redis_server(tmp_path_factory.mktemp("redis")) as redis_url:
        changes = {
            "database_url": postgres_url, "redis_url": redis_url, "s3_endpoint": s3.endpoint, "s3_bucket": s3.bucket,
            "s3_region": s3.region, "s3_secure": False, "s3_access_key": SecretStr(s3.access_key),
            "s3_secret_key": SecretStr(s3.secret_key), "requests_per_minute": 1_000_000,
        }  # fmt: skip
        settings = load(tmp_path_factory.mktemp("secrets")).model_copy(update=changes)
        with served(settings, CeleryDoorbell(redis_url)) as running:
            yield running


def test_fifty_at_once_have_one_effect(service: Service, tenant: Tenant) -> None:
    """Fifty parallel identical POSTs make one person on Postgres too."""
    headers = {"Idempotency-Key": "order-1", "Authorization": f"Bearer {tenant.token}"}

    def post(_: int) -> httpx2.Response:
        return httpx2.post(f"{service.url}/v1/identities", json={"name": "Ada"}, headers=headers, timeout=60)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert all(answer.json()["retryable"] for answer in answers if answer.status_code != 201)
    assert len(tenant.http.get("/v1/identities").json()["data"]) == 1


@pytest.mark.parametrize("operation", READS, ids=lambda one: one.name)
def test_of_another_tenant(
    operation: Operation, service: Service, tenant: Tenant, stranger: Tenant, hand: Hand
) -> None:
    """Another tenant's things are 404, one's own are there."""
    part_id = Makings(service, hand).id_of(operation.parts[0], stranger)
    path = operation.path.replace("{" + operation.parts[0] + "}", part_id)
    assert tenant.http.get(path).status_code == 404
    assert stranger.http.get(path).status_code == 200


def test_operators_see_all_tenants(service: Service, tenant: Tenant, stranger: Tenant, hand: Hand) -> None:
    """Tenants, workers and queues are an operator's to see, through a role of their own."""
    listed = {one["id"] for one in tenant.http.get("/v1/admin/tenants").json()["data"]}
    assert {tenant.id, stranger.id} <= listed
    worker_id = hand.register()
    assert tenant.http.post(f"/v1/admin/workers/{worker_id}/drain").json()["draining"] is True
    assert {one["kind"] for one in tenant.http.get("/v1/admin/queues").json()} == {"assess", "restore", "train"}
    assert tenant.http.patch(f"/v1/admin/tenants/{stranger.id}", json={"suspended": True}).status_code == 200
    assert stranger.http.get("/v1/usage").status_code == 401
    made = tenant.http.post("/v1/admin/tenants", json={"name": "Acme"}).json()
    with service.client(made["first_key"]["key"]) as client:
        assert client.get("/v1/usage").status_code == 200


def test_a_database_that_is_away_is_no_bug(service: Service, tenant: Tenant, postgres_url: str) -> None:
    """When Postgres drops every connection a request is refused as retryable at worst, and the next one works."""
    url = postgres_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    answer = tenant.http.get("/v1/identities")
    assert answer.status_code == 200 or answer.json()["retryable"]
    assert tenant.http.get("/v1/identities").status_code == 200
    with service.client(None) as client:
        assert client.get("/readyz").status_code == 200
