"""Headless Chromium for the studio's tests, with what a person does: press, fill in, choose files, wait to see."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

DESKTOP, PHONE = (1280, 900), (390, 844)
AXE = Path(__file__).parent / "axe.min.js"
_PATIENCE_SECONDS = 60.0  # on a machine that does much else
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--force-prefers-reduced-motion",
)  # fmt: skip
_FOUND = """
const done = arguments[0];
axe.run(document, {resultTypes: ["violations"]}).then(
  (result) => done(JSON.stringify(result.violations.map(
    ({id, impact, help, nodes}) => ({id, impact, help, where: nodes.map((node) => node.target.join(" "))})))),
  (error) => done(JSON.stringify([{id: "axe", impact: "critical", help: String(error), where: []}])));
"""
_SLOW = """
const [part, milliseconds] = arguments;
const fetched = window.fetch;
window.fetch = async (path, options) => {
  if (String(path).includes(part)) await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return fetched(path, options);
};
"""
_AWAY = """
const [part, times] = arguments;
const fetched = window.fetch;
let left = times;
window.fetch = (path, options) =>
  String(path).includes(part) && left-- > 0 ? Promise.reject(new TypeError("away")) : fetched(path, options);
"""
T = TypeVar("T")


class Browser:
    """One window, and a person in front of it."""

    def __init__(self, driver: Chrome, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def until(self, look: Callable[[], T | None], wanted: str, seconds: float = _PATIENCE_SECONDS) -> T:
        """Return what is seen as soon as it is seen; fail with what was wanted and what the page says instead."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                if seen := look():
                    return seen
            except StaleElementReferenceException:
                pass  # the page was redrawn meanwhile
            time.sleep(0.05)
        pytest.fail(f"got no {wanted} in {seconds:.0f} s; the page says: {self.text()}\n{self.complaints()}")

    def text(self) -> str:
        """Return what can be read on the page."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements of a CSS selector that can be seen."""
        return [one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]

    def one(self, selector: str, seconds: float = _PATIENCE_SECONDS) -> WebElement:
        """Return the first element of a CSS selector as soon as it can be seen."""
        return self.until(lambda: self.all(selector), selector, seconds)[0]

    def reads(self, words: str, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until the page says something."""
        self.until(lambda: words in self.text(), f"words {words!r}", seconds)

    def beneath(self, selector: str, seconds: float = _PATIENCE_SECONDS) -> WebElement:
        """Return the first element of a CSS selector that is there, be it as good as transparent."""
        return self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector), selector, seconds)[0]

    def press(self, name: str, seconds: float = _PATIENCE_SECONDS) -> None:
        """Press the button or link of this name as soon as that is possible."""

        def found() -> list[WebElement]:
            named = [one for one in self.all("button, a") if name in (one.accessible_name, one.text.strip())]
            return [one for one in named if one.is_enabled()]

        element = self.until(found, f"button {name!r}", seconds)[0]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def fill(self, label: str, text: str) -> None:
        """Write into the field of this label."""

        def found() -> list[WebElement]:
            return [one for one in self.all("input, textarea") if one.accessible_name == label]

        field = self.until(found, f"field {label!r}")[0]
        field.clear()
        field.send_keys(text)

    def pick(self, name: str, value: str) -> None:
        """Choose one of several radio buttons."""
        element = self.beneath(f"input[type=radio][name='{name}'][value='{value}']")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def choose_files(self, part: str, files: Sequence[Path]) -> None:
        """Give files to the drop zone of a part of the page."""
        field = self.beneath(f"section[aria-labelledby={part}] input[type=file]")
        field.send_keys("\n".join(str(file) for file in files))

    def downloaded(self) -> Path:
        """Return the file that has been downloaded, as soon as it is whole."""

        def whole() -> list[Path]:
            return [path for path in self.downloads.glob("*") if path.suffix not in (".crdownload", ".tmp")]

        path = self.until(whole, "download")[0]
        return path.rename(self.downloads.parent / f"taken-{time.monotonic_ns()}-{path.name}")

    def slow(self, path: str, seconds: float) -> None:
        """Have requests whose path holds this text set out late, until the page is loaded anew."""
        self.driver.execute_script(_SLOW, path, 1000 * seconds)

    def away(self, path: str, times: int) -> None:
        """Have so many requests whose path holds this text find nobody, until the page is loaded anew."""
        self.driver.execute_script(_AWAY, path, times)

    def offline(self, yes: bool) -> None:
        """Be without network, or with it again."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        speed = {"offline": yes, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", speed)

    def block(self, *patterns: str) -> None:
        """Let requests to these addresses, and to no others, fail."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(patterns)})

    def violations(self) -> list[dict[str, Any]]:
        """Return what axe-core finds that is serious or critical."""
        self.driver.execute_script(AXE.read_text())
        found: list[dict[str, Any]] = json.loads(self.driver.execute_async_script(_FOUND))
        return [one for one in found if one["impact"] in ("serious", "critical")]

    def complaints(self) -> list[str]:
        """Return what the browser's console complains about: errors of scripts, and of the content policy."""
        lines = [str(line["message"]) for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]
        return [line for line in lines if "401 (Unauthorized)" not in line]  # asking whether there is a session

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.driver.execute_script(script))

    def picture(self, path: Path) -> None:
        """Keep a picture of the whole page, as long as it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        width = self.driver.execute_script("return window.innerWidth")
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        view = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)
        self.driver.save_screenshot(str(path))
        self.resize((width, 900))

    def light(self, yes: bool) -> None:
        """Prefer light pages, or dark ones."""
        wish = {"name": "prefers-color-scheme", "value": "light" if yes else "dark"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})

    def resize(self, size: tuple[int, int]) -> None:
        """Make the window as large as a screen is."""
        view = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)


@contextmanager
def browsing(folder: Path, size: tuple[int, int] = DESKTOP, dark: bool = False) -> Iterator[Browser]:
    """Yield a fresh browser; without Chromium the test is skipped, and on CI it fails."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        _without()
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(chromedriver))
    try:
        driver.set_script_timeout(_PATIENCE_SECONDS)
        browser = Browser(driver, downloads)
        browser.resize(size)
        browser.light(not dark)
        yield browser
    finally:
        driver.quit()


def _without() -> NoReturn:
    message = "got no chromium and chromedriver, wanted both; install them (apt-get install chromium chromium-driver)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
