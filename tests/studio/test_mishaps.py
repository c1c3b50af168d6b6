"""What is done in an unusual order, or wrongly, in front of the studio."""

import pytest

from tests.api.service import CONSENT
from tests.studio.desk import Desk

BAR_PIXELS = 16  # what a bar is high at most; one in a column may grow to many times that


def test_another_photo_may_be_chosen_while_one_is_restored(desk: Desk) -> None:
    """The first goes on beside the second and ends in the history; the second has the page to itself."""
    desk.open(desk.person())
    desk.choose(1)
    desk.browser.press("Restore")
    desk.browser.reads("Waiting for its turn")
    desk.choose(2)
    desk.browser.reads("Begun before: photo-1.png")
    desk.journey.look("two-at-once")
    assert desk.hand.work("restore") == 1
    desk.browser.until(lambda: len(desk.restored()) == 1, "first photo in the history")
    assert "Begun before" not in desk.browser.text()
    assert desk.browser.all("#result img") == []
    desk.browser.press("Restore")
    desk.browser.reads("Waiting for its turn")
    assert desk.hand.work("restore") == 1
    desk.browser.one("#result .slider")
    desk.browser.until(lambda: len(desk.restored()) == 2, "second photo in the history")
    assert desk.browser.complaints() == []


def test_another_photo_may_be_chosen_while_one_is_sent(desk: Desk) -> None:
    """The photo that was sent is the one that is restored, and it is not shown as the other's result."""
    desk.open(desk.person())
    desk.browser.slow("/v1/uploads", 1.5)
    desk.choose(1)
    desk.browser.press("Restore")
    desk.browser.reads("Sending the photo")
    desk.choose(2)
    desk.browser.reads("Waiting for its turn")
    assert desk.hand.work("restore") == 1
    desk.browser.until(lambda: len(desk.restored()) == 1, "first photo in the history")
    assert desk.browser.all(".slider") == []
    assert desk.browser.one("#restore").is_enabled()


def test_a_running_restoration_is_seen_and_stopped(desk: Desk) -> None:
    """Its bar is a bar, the button stays readable, the status has the focus, and Stop stops it."""
    desk.open(desk.person())
    desk.choose(1)
    desk.browser.press("Restore")
    desk.browser.reads("Waiting for its turn")
    claim = desk.hand.claim("restore")
    assert claim is not None
    desk.hand.progress(claim, 3)
    desk.browser.reads("Step 3 of 10")
    assert desk.browser.one("#result progress").size["height"] <= BAR_PIXELS
    assert not [one for one in desk.browser.all("button") if one.text == "Mark the face myself" and one.is_enabled()]
    assert desk.browser.driver.switch_to.active_element.text == "Step 3 of 10"
    colours = {one.value_of_css_property("background-color") for one in desk.browser.all(".chosen button")}
    assert len(colours) == 1, "the mouse is still over the first button: both cannot be pressed, and look it"
    desk.journey.look("restoring")
    desk.browser.press("Stop")
    desk.browser.reads("Stopping")
    desk.hand.stopped(claim)
    desk.browser.reads("The restoration was stopped")
    assert desk.browser.one("#restore").is_enabled()


def test_a_restoration_outlives_a_reload(desk: Desk) -> None:
    """Who comes back sees it go on, and finds the photo when it is done."""
    identity_id = desk.person()
    desk.tenant.restoration(identity_id)
    desk.open(identity_id, "Begun before")
    assert desk.hand.work("restore") == 1
    desk.browser.until(lambda: len(desk.restored()) == 1, "photo in the history")
    assert "Begun before" not in desk.browser.text()


def test_the_face_is_asked_for_and_may_be_none_of_them(desk: Desk) -> None:
    """Neither question has no way out: none of the faces, and no frame after all."""
    desk.open(desk.person())
    desk.choose(1)
    desk.browser.press("Restore")
    desk.browser.reads("Waiting for its turn")
    desk.fail("several_faces", "got 2 faces at 0: 2, 2, 20, 20; 1: 24, 2, 44, 20, wanted one")
    desk.browser.press("None of them")
    desk.browser.reads("Then mark the face yourself")
    desk.browser.press("Mark the face myself")
    desk.browser.reads("Where is Ada?")
    desk.browser.press("Cancel")
    assert desk.browser.driver.switch_to.active_element.text == "Mark the face myself"


@pytest.mark.parametrize(
    ("given", "words", "there"),
    [
        ("restore", "that we train a model of their face", "Drop one"),
        ("train", "that we restore photos of", "Drop photos"),
    ],
)
def test_consent_to_one_purpose_is_no_dead_end(desk: Desk, given: str, words: str, there: str) -> None:
    """What is missing is said in its place, and can be recorded there."""
    identity_id = desk.tenant.identity(consent=False)
    desk.tenant.http.post(f"/v1/identities/{identity_id}/consents", json={**CONSENT, "purposes": [given]})
    desk.open(identity_id, words)
    desk.browser.reads(there)
    desk.journey.look(f"only-{given}")
    desk.browser.press("Record their consent to it")
    desk.browser.fill("Your own reference to them", "customer 17")
    desk.browser.fill("Who was there when they agreed", "front desk")
    desk.browser.fill("Country, or country and region", "de")
    desk.browser.press("Record their consent")
    desk.browser.reads("Drop photos")
    desk.browser.reads("Drop one")
    assert "has not agreed" not in desk.browser.text()


def test_a_withdrawal_leads_to_its_erasure(desk: Desk) -> None:
    """What becomes of it has an address of its own: a reload shows it again."""
    desk.open(desk.person())
    desk.browser.press("Withdraw")
    desk.browser.press("Withdraw it")
    desk.browser.reads("The keys are destroyed")
    desk.browser.driver.refresh()
    desk.browser.reads("The keys are destroyed")
    assert [one.text for one in desk.browser.all(".badge, .notice.bad")] == ["Being erased"]
    desk.journey.look("erasing")


@pytest.mark.parametrize(
    ("before", "after", "words"), [(0.724, 0.776, "+0.06"), (0.70, 0.697, "No change"), (0.5, 0.41, "\u22120.09")]
)
def test_the_figures_of_likeness_add_up(desk: Desk, before: float, after: float, words: str) -> None:
    """The gain is what a reader gets by subtracting, and a doubt stands beside the figures wherever they are shown."""
    evidence = {
        "similarity_before": before,
        "similarity_after": after,
        "doubt": "it may be somebody else",
        "tier": "instant",
    }
    restoration = {
        "id": "res_1", "faces": [{"evidence": evidence}], "evidence": {}, "seed": 0, "fidelity": None,
        "created_at": "2026-11-29T12:00:00Z", "tier_used": "instant", "upgrade_available": False,
    }  # fmt: skip
    script = """
    const [restoration, done] = arguments;
    Promise.all([import("/modules/evidence.js"), import("/modules/history.js")]).then(([evidence, history]) => done([
      evidence.evidenceOf(restoration).textContent, new history.History({name: "Ada"}).item(restoration).textContent]));
    """
    alone, among_others = desk.browser.driver.execute_async_script(script, restoration)
    assert f"{words}, by a second recognizer" in alone
    assert "It may be somebody else." in alone
    assert "It may be somebody else." in among_others


def test_files_that_cannot_be_photos_are_named_and_taken_away(desk: Desk) -> None:
    """What is no photo has its name, a reason and a way out, and no broken picture; too large a file is not sent."""
    desk.open(desk.tenant.identity())
    text, large = desk.folder / "letter.png", desk.folder / "large.png"
    text.write_text("no picture")
    large.write_bytes(bytes(21 * 2**20))
    desk.browser.choose_files("part-photos", [text, large])
    desk.browser.reads("at most 20 MB")
    desk.browser.until(lambda: len(desk.browser.all(".verdict.no")) == 2, "two refusals")
    desk.browser.reads("letter.png")
    assert desk.browser.all(".photo img") == []
    desk.browser.press("Remove letter.png")
    desk.browser.press("Remove large.png")
    assert desk.browser.all(".photo") == []


def test_the_same_file_twice_has_no_broken_picture(desk: Desk) -> None:
    """The service keeps no second copy, and the page asks for none."""
    identity_id = desk.tenant.identity()
    desk.tenant.reference(identity_id)
    desk.tenant.reference(identity_id)
    desk.hand.work("assess")
    desk.open(identity_id, "1 of 2 photos are used")
    desk.journey.look("duplicate")
    assert len(desk.browser.all(".photo")) == 2
    assert len(desk.browser.all(".photo img")) == 1


def test_leaving_while_photos_are_sent_is_asked_about(desk: Desk) -> None:
    """Who stays loses nothing."""
    desk.open(desk.tenant.identity())
    desk.send_slowly(2)
    desk.browser.press("Jobs")
    desk.browser.press("Stay")
    desk.browser.reads("0 of 1 photos are used")
    assert desk.hand.work("assess") == 1
    desk.browser.reads("1 of 1 photos are used")
    assert "/people/" in desk.browser.driver.current_url


def test_who_erases_a_person_waits_for_none_of_the_photos(desk: Desk) -> None:
    """Photos on their way keep nobody from the erasure's page: they were to be erased too."""
    desk.open(desk.person())
    desk.send_slowly(4)
    desk.browser.press("Erase this person")
    desk.browser.press("Erase for good")
    desk.browser.reads("The keys are destroyed")
    assert "/erasures/" in desk.browser.driver.current_url


def test_a_draft_is_its_tenants_own(desk: Desk) -> None:
    """A session ends by itself, and somebody else signs in: what the one before typed is not for them."""
    desk.browser.press("Add the first person")
    desk.browser.fill("Name", "Ada Lovelace")
    desk.browser.driver.delete_all_cookies()
    desk.browser.driver.refresh()
    desk.browser.fill("Your key", desk.service.tenant().token)
    desk.browser.press("Sign in")
    desk.browser.until(lambda: desk.browser.one("#name"), "the form")
    assert desk.browser.one("#name").get_attribute("value") == ""


def test_a_form_keeps_its_draft_and_its_person(desk: Desk) -> None:
    """A reload keeps what was typed but no tick; a name corrected after a refused consent is the person's name."""
    desk.browser.press("Add the first person")
    desk.browser.fill("Name", "Ada Lovelaec")
    desk.browser.fill("Your own reference to them", "customer 17")
    desk.browser.beneath("input[value=evaluate]").click()
    desk.browser.driver.refresh()
    desk.browser.reads("Add a person")
    assert desk.browser.one("#subject").get_attribute("value") == "customer 17"
    assert not desk.browser.beneath("input[value=evaluate]").is_selected()
    desk.browser.fill("Who was there when they agreed", "front desk")
    desk.browser.fill("Country, or country and region", "us-il")
    desk.browser.away("/consents", 1)
    desk.browser.press("Add this person")
    desk.browser.reads("The service does not answer")
    desk.browser.fill("Name", "Ada Lovelace")
    desk.browser.press("Add this person")
    desk.browser.reads("Photos of this person")
    assert [one["name"] for one in desk.tenant.http.get("/v1/identities").json()["data"]] == ["Ada Lovelace"]
    desk.browser.press("Rename")
    desk.browser.fill("Name", "Countess Lovelace")
    desk.browser.press("Save the name")
    desk.browser.until(lambda: desk.browser.one("h1").text == "Countess Lovelace", "new name")


def test_what_is_not_filled_in_is_not_sent(desk: Desk) -> None:
    """A blank name, no purpose, impossible steps: the browser points at the field, and the service is not asked."""
    desk.browser.press("Add the first person")
    for label in ("Name", "Your own reference to them", "Who was there when they agreed"):
        desk.browser.fill(label, " ")
    desk.browser.fill("Country, or country and region", "DE")
    desk.browser.press("Add this person")
    assert len(desk.browser.driver.find_elements("css selector", "input:invalid")) == 3
    desk.browser.beneath("input[value=train]").click()
    desk.browser.beneath("input[value=restore]").click()
    assert len(desk.browser.driver.find_elements("css selector", "input:invalid")) == 4
    assert desk.tenant.http.get("/v1/identities").json()["data"] == []
    identity_id = desk.person()
    desk.open(identity_id, "1 of 1 photos are used")
    desk.browser.one("section[aria-labelledby=part-training] summary").click()
    desk.browser.fill("Steps, if not as many as above", "99999")
    desk.browser.press("Train")
    assert desk.hand.claim("train") is None
    assert "Waiting for its turn" not in desk.browser.text()


def test_a_key_of_other_letters_is_no_key(desk: Desk) -> None:
    """It is the key that is looked at, not the service."""
    desk.browser.press("Sign out")
    desk.browser.fill("Your key", "идр_живой")
    desk.browser.press("Sign in")
    desk.browser.reads("Check the key")


def test_the_trained_way_needs_a_model(desk: Desk) -> None:
    """It cannot be chosen before there is one, and the page says why."""
    desk.open(desk.person())
    desk.choose(1)
    assert not desk.browser.beneath("input[value=personalized]").is_enabled()
    desk.browser.reads("needs a trained model")
