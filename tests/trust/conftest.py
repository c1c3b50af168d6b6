"""Servers that the attacks share."""

import os
from collections.abc import Iterator

import pytest
import structlog

from tests.servers import database_of, postgres_server


@pytest.fixture(scope="session", autouse=True)
def plain_log() -> None:
    """Log in plain lines: pictures of whole stacks take longer than the tests."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """An empty database of the module's own on Postgres."""
    with postgres_server() as server, database_of(server, f"idprefer_trust_{os.getpid()}") as url:
        yield url
