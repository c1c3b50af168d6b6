"""A desk in front of the studio: a browser, a service whose worker's part a hand does when told to, a tenant's key."""

from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver.remote.webelement import WebElement

from store import ledger
from tests.api.hand import Hand
from tests.api.service import Service, Tenant, png
from tests.studio.browser import Browser
from tests.studio.journey import Journey


@dataclass(frozen=True)
class Desk:
    """A browser in front of a service, a tenant's key, and a hand."""

    service: Service
    hand: Hand
    tenant: Tenant
    browser: Browser
    folder: Path

    @property
    def journey(self) -> Journey:
        """Return the journey of whoever sits here."""
        return Journey(self.browser, self.service.url, self.folder / "pictures")

    def sign_in(self) -> None:
        """Exchange the key for a session."""
        self.browser.fill("Your key", self.tenant.token)
        self.browser.press("Sign in")
        self.browser.reads("People")

    def open(self, identity_id: str, words: str = "Restore a photo") -> None:
        """Open a person's page."""
        self.browser.driver.get(f"{self.service.url}/#/people/{identity_id}")
        self.browser.reads(words)

    def person(self) -> str:
        """Make a person of whom one photo is accepted; return the id."""
        identity_id = self.tenant.identity()
        self.tenant.reference(identity_id)
        assert self.hand.work("assess") == 1
        return identity_id

    def photo(self, seed: int) -> Path:
        """Write a photo."""
        path = self.folder / f"photo-{seed}.png"
        path.write_bytes(png(seed))
        return path

    def choose(self, seed: int) -> None:
        """Choose a photo to restore."""
        self.browser.choose_files("part-restore", [self.photo(seed)])

    def send_slowly(self, seconds: float) -> None:
        """Add a photo to the person whose page is shown, on a slow line; it is on its way."""
        self.browser.slow("/references", seconds)
        self.browser.choose_files("part-photos", [self.photo(1)])
        self.browser.reads("Sending")

    def fail(self, code: str, detail: str) -> None:
        """Let the restoration that waits fail."""
        claim = self.hand.claim("restore")
        assert claim is not None
        with self.service.ledger.transaction(None) as session:
            ledger.fail(session, claim.lease, code, detail)

    def restored(self) -> list[WebElement]:
        """Return what the history shows."""
        return self.browser.all(".restorations li")
