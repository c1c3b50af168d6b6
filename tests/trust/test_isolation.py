"""Two tenants and every route on Postgres, with one of the two walls taken down, and with both."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from store.doorbell import LocalDoorbell
from store.settings import load
from tests.api.hand import Hand
from tests.api.operations import Makings, Operation, body_of, operations
from tests.api.service import Service, Tenant, png, served
from tests.trust.mutations import without_filters, without_policies

OPERATIONS = [one for one in operations() if not one.path.startswith("/v1/admin")]
WITH_IDS = [one for one in OPERATIONS if one.parts]
LISTS = [one for one in OPERATIONS if one.method == "GET" and not one.parts]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Service]:
    """A service over Postgres under the roles that production has."""
    settings = load(tmp_path_factory.mktemp("service")).model_copy(
        update={"database_url": postgres_url, "requests_per_minute": 1_000_000}
    )
    with served(settings, LocalDoorbell(threading.Event())) as running:
        yield running


@dataclass(frozen=True)
class Theirs:
    """One thing of each kind, all of another tenant, and a picture that was restored for it."""

    ids: dict[str, str]
    picture: bytes

    def told_by(self, answer: httpx2.Response) -> bool:
        """Whether an answer says anything of these things."""
        return any(one in answer.text for one in self.ids.values())


@pytest.fixture(scope="module")
def theirs(service: Service) -> Theirs:
    """What nobody else may see."""
    makings, stranger = Makings(service, Hand(service)), service.tenant()
    ids = {part: makings.id_of(part, stranger) for one in WITH_IDS for part in one.parts}
    ids["upload_id"] = stranger.http.post("/v1/uploads", files={"file": png(4)}).json()["id"]
    stranger.http.post("/v1/identities", json={"name": "Ada"}, headers={"Idempotency-Key": "the-same"})
    return Theirs(ids, stranger.http.get(f"/v1/restorations/{ids['restoration_id']}/image").content)


def leaks(service: Service, theirs: Theirs) -> list[str]:
    """Return where a tenant of its own sees, changes or uses what is another's."""
    anybody = service.tenant()
    by_id = [(one.name, _status(one, anybody, theirs)) for one in WITH_IDS]
    found = [f"{name} {status}" for name, status in by_id if status != httpx2.codes.NOT_FOUND]
    found += [one.name for one in LISTS if theirs.told_by(anybody.http.get(one.path))]
    return found + _by_body(anybody, theirs)


def _status(operation: Operation, anybody: Tenant, theirs: Theirs) -> int:
    """Return what an operation says to another tenant's id."""
    path = operation.path
    for part in operation.parts:
        path = path.replace("{" + part + "}", theirs.ids[part])
    return anybody.http.request(operation.method, path, **body_of(operation.name)).status_code


def _by_body(anybody: Tenant, theirs: Theirs) -> list[str]:
    """Return which of another tenant's things can be named in a body, met by chance, or known again."""
    http, own = anybody.http, anybody.identity()
    image, strange = {"image": png(1)}, theirs.ids
    face = f'[{{"identity_id": "{own}"}}, {{"identity_id": "{strange["identity_id"]}"}}]'
    answers = {
        "a restoration of their person": http.post(
            "/v1/restorations", data={"identity_id": strange["identity_id"]}, files=image
        ),
        "a restoration with their person": http.post("/v1/restorations", data={"faces": face}, files=image),
        "a restoration of their upload": http.post(
            "/v1/restorations", json={"identity_id": own, "upload_id": strange["upload_id"]}
        ),
    }
    found = [name for name, answer in answers.items() if answer.is_success]
    if http.post("/v1/verify", files={"file": theirs.picture}).json()["verdict"] != "unknown":
        found.append("their picture is known")
    again = http.post("/v1/identities", json={"name": "Ada"}, headers={"Idempotency-Key": "the-same"})
    if theirs.told_by(again) or again.headers.get("idempotent-replayed"):
        found.append("their answer is replayed")
    return found


def test_without_the_applications_filters(service: Service, theirs: Theirs) -> None:
    """With every tenant filter taken out of every statement, the database's policies alone keep tenants apart."""
    with without_filters(service.parts.database.engine) as removed:
        assert leaks(service, theirs) == []
    assert removed.count > len(WITH_IDS)


def test_without_both(service: Service, theirs: Theirs, postgres_url: str) -> None:
    """With the filters and the policies gone the same calls leak: what finds nothing above can find something."""
    anybody, reads = service.tenant(), [one for one in WITH_IDS if one.method == "GET"]
    with without_policies(postgres_url), without_filters(service.parts.database.engine):
        seen = [one.name for one in reads if _status(one, anybody, theirs) == httpx2.codes.OK]
        listed = [one.name for one in LISTS if theirs.told_by(anybody.http.get(one.path))]
    assert len(seen) > len(reads) / 2, seen
    assert len(listed) > len(LISTS) / 2, listed


@pytest.mark.prove
def test_with_both(service: Service, theirs: Theirs) -> None:
    """As it is in production nothing leaks."""
    assert leaks(service, theirs) == []


@pytest.mark.prove
def test_without_the_policies(service: Service, theirs: Theirs, postgres_url: str) -> None:
    """With the policies gone the application's own filters keep tenants apart: each wall holds by itself."""
    with without_policies(postgres_url):
        assert leaks(service, theirs) == []
