"""One service and one browser for all tests that sit at a desk, each with a tenant of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.hand import Hand
from tests.api.service import Service, serving
from tests.studio.browser import Browser, browsing
from tests.studio.desk import Desk


@pytest.fixture(scope="package")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Browser]]:
    """A service and a browser for all tests."""
    folder = tmp_path_factory.mktemp("mishaps")
    with serving(folder / "house") as service, browsing(folder / "browser") as browser:
        yield service, browser


@pytest.fixture
def desk(window: tuple[Service, Browser], tmp_path: Path) -> Desk:
    """A desk of a tenant of its own, signed in."""
    service, browser = window
    browser.offline(False)
    browser.block()
    browser.driver.get(f"{service.url}/livez")  # away from the page of the test before
    browser.driver.delete_all_cookies()
    browser.driver.get(service.url)
    desk = Desk(service, Hand(service), service.tenant(), browser, tmp_path)
    desk.sign_in()
    browser.complaints()  # those of the test before are read
    return desk
