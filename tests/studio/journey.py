"""The whole journey by clicking: a key, a person, photos, a training, a restored photo, and everything erased again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver.common.keys import Keys

from tests.studio.browser import PHONE, Browser


@dataclass(frozen=True)
class Album:
    """The photos that a journey takes along."""

    references: Sequence[Path]
    useless: Path
    bad: Path


@dataclass(frozen=True)
class Journey:
    """A person in front of the studio; every page is looked at by axe-core, and kept as a picture."""

    browser: Browser
    address: str
    pictures: Path

    def look(self, name: str) -> None:
        """Look at the page as it is: nothing serious by axe-core, no complaint of the browser, nothing sticks out."""
        self.browser.picture(self.pictures / f"{name}.png")
        violations = self.browser.violations()
        assert not violations, violations
        assert self.browser.complaints() == []
        assert self.browser.overflow() <= 0

    def sign_in(self, key: str) -> None:
        """Exchange the key for a session, a wrong one first."""
        self.browser.driver.get(self.address)
        self.browser.fill("Your key", "idr_live_nonsense")
        self.browser.press("Sign in")
        self.browser.reads("Check the key")
        self.look("sign-in")
        self.browser.fill("Your key", key)
        self.browser.press("Sign in")
        self.browser.reads("Nobody is here yet")
        self.look("nobody")

    def add_person(self, name: str) -> None:
        """Create a person and record their consent."""
        self.browser.press("Add the first person")
        for label, text in (
            ("Name", name),
            ("Your own reference to them", "customer 17"),
            ("Who was there when they agreed", "front desk"),
            ("Country, or country and region", "DE"),
        ):
            self.browser.fill(label, text)
        self.look("consent")
        self.browser.press("Add this person")
        self.browser.reads("Photos of this person")

    def add_photos(self, album: Album) -> None:
        """Drop references, good ones and one without a face; see each verdict."""
        self.browser.choose_files("part-photos", [*album.references, album.useless])
        count = len(album.references)
        wanted = ["Not used"] + ["Used"] * count

        def judged() -> bool:
            return sorted(one.text for one in self.browser.all(".verdict")) == wanted

        self.browser.until(judged, f"verdicts {wanted}", 240)
        self.browser.reads(f"{count} of {count + 1} photos are used")
        self.browser.reads("No face was found")
        assert len(self.browser.all("meter")) == count
        self.look("photos")

    def train(self, steps: int | None = None) -> None:
        """Train, and watch the bar and the curve."""
        self.browser.pick("train-preset", "fast")
        if steps is not None:
            self.browser.one("section[aria-labelledby=part-training] summary").click()
            self.browser.fill("Steps, if not as many as above", str(steps))
        self.browser.press("Train")
        self.browser.one(".curve svg polyline", 240)
        self.look("training")
        self.browser.reads("Trained in", 600)
        self.browser.until(
            lambda: [one for one in self.browser.all(".badge") if one.text == "Trained"], "badge Trained"
        )
        assert "Loss" in self.browser.one(".curve svg").accessible_name

    def restore(self, photo: Path, way: str = "personalized") -> None:
        """Restore a photo of one person."""
        self.browser.choose_files("part-restore", [photo])
        self.browser.pick("tier", way)
        self.browser.one(".chosen summary").click()
        self.browser.pick("restore-preset", "fast")
        self.browser.press("Restore")

    def choose_face(self, number: int) -> None:
        """Say which of several faces it is."""
        self.browser.reads("faces is", 240)
        self.look("faces")
        self.browser.all("button.face")[number - 1].click()

    def compare(self) -> None:
        """See before and after, move the divider by keyboard, see the likeness and the evidence."""
        handle = self.browser.beneath(".slider input", 240)
        assert handle.get_attribute("aria-valuetext") == "50 percent before, 50 percent restored"
        handle.send_keys(Keys.ARROW_LEFT * 10)
        assert handle.get_attribute("aria-valuetext") == "40 percent before, 60 percent restored"
        loaded = "return [...document.querySelectorAll('.slider img')].every((one) => one.naturalWidth > 0)"
        self.browser.until(lambda: self.browser.driver.execute_script(loaded), "both pictures")
        self.browser.reads("Likeness to the reference photos")
        self.browser.one("#result summary").click()
        self.browser.reads("Model digest")
        self.look("restored")

    def download(self) -> Path:
        """Take the restored photo along."""
        self.browser.one("#result a[download]").click()
        return self.browser.downloaded()

    def models(self, steps: int) -> Path:
        """Train once more, go back to the first model, take it along, and delete the other one."""
        rows = ".model"
        assert len(self.browser.all(rows)) == 1
        self.browser.fill("Steps, if not as many as above", str(steps))
        self.browser.press("Train again")
        self.browser.until(lambda: len(self.browser.all(rows)) == 2, "second model", 240)
        assert "In use" in self.browser.all(rows)[0].text
        self.browser.press("Use it")
        self.browser.until(lambda: "In use" in self.browser.all(rows)[1].text, "first model in use")
        self.look("models")
        self.browser.all(f"{rows} a")[1].click()
        taken = self.browser.downloaded()
        self.browser.all(f"{rows} button.quiet")[0].click()
        self.browser.press("Delete it")
        self.browser.until(lambda: len(self.browser.all(rows)) == 1, "one model left")
        assert "In use" in self.browser.one(rows).text
        return taken

    def how(self) -> None:
        """Read how it works, and come back."""
        self.browser.press("How it works")
        self.browser.reads("What does the likeness say?")
        self.look("how")
        self.browser.driver.back()
        self.browser.reads("Photos of this person")

    def jobs(self, name: str) -> None:
        """See the jobs and their history."""
        self.browser.press("Jobs")
        self.browser.reads(f"Training for {name}")
        assert {one.text for one in self.browser.all(".job .badge")} >= {"Done"}
        self.look("jobs")
        self.browser.press(f"Training for {name}")
        self.browser.reads("Restored so far")
        self.look("history")

    def erase(self, name: str) -> dict[str, object]:
        """Erase the person; return the receipt."""
        self.browser.press("Erase this person")
        self.browser.reads(f"Erase {name}?")
        self.look("question")
        self.browser.press("Erase for good")
        self.browser.reads("Everything is erased", 240)
        assert [one.text for one in self.browser.all(".notice.bad, .badge")] == ["Erased"]
        self.look("erased")
        self.browser.driver.refresh()
        self.browser.reads("Everything is erased")
        self.browser.press("Download the signed receipt")
        receipt: dict[str, object] = json.loads(self.browser.downloaded().read_text())
        self.browser.press("Back to everybody")
        self.browser.reads("Nobody is here yet")
        return receipt

    def sign_out(self) -> None:
        """End the session; the page asks for a key again, after a reload too."""
        self.browser.press("Sign out")
        self.browser.reads("Your key")
        self.browser.driver.refresh()
        self.browser.reads("Your key")

    def suits_the_night(self, name: str) -> None:
        """See the same page in dark colours."""
        self.browser.light(False)
        self.look(f"{name}-dark")
        self.browser.light(True)

    def fits_a_phone(self, name: str) -> None:
        """See the same page at the width of a phone."""
        before = self.browser.driver.execute_script("return [window.innerWidth, window.innerHeight]")
        self.browser.resize(PHONE)
        self.look(f"{name}-phone")
        self.browser.resize((int(before[0]), int(before[1])))
