"""One running service for all tests of the API, and a tenant of its own for each test."""

from collections.abc import Iterator

import pytest
import structlog

from tests.api.hand import Hand
from tests.api.service import Service, Tenant, serving


@pytest.fixture(scope="session", autouse=True)
def plain_log() -> None:
    """Log in plain lines: pictures of whole stacks take longer than the tests."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that every test shares; each makes tenants of its own."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def tenant(service: Service) -> Tenant:
    """A tenant that may do everything."""
    return service.tenant()


@pytest.fixture
def stranger(service: Service) -> Tenant:
    """Another tenant that may do everything."""
    return service.tenant()


@pytest.fixture
def hand(service: Service) -> Hand:
    """Does what a worker does, when it is told to, without networks; it finds no work that others left."""
    found = Hand(service)
    while claim := found.claim():
        found.fail(claim, "left_over")
    return found
