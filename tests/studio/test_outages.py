"""The service does not answer for a while, or another tab changes what this one knows: nothing is lost by it."""

from tests.studio.desk import Desk


def test_another_tab_may_sign_in_anew(desk: Desk) -> None:
    """The first tab goes on with the new session, and keeps its photo."""
    desk.open(desk.person())
    desk.choose(1)
    driver = desk.browser.driver
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(desk.service.url)
    desk.browser.press("Sign out")
    desk.sign_in()
    driver.close()
    driver.switch_to.window(first)
    desk.browser.press("Restore")
    desk.browser.reads("Waiting for its turn")
    assert desk.hand.work("restore") == 1
    desk.browser.one("#result .slider")


def test_another_tenant_in_another_tab_gets_nothing(desk: Desk) -> None:
    """A page of one tenant sends nothing under the session of another."""
    desk.open(desk.person())
    desk.choose(1)
    other = desk.service.tenant().token
    opened = "fetch('/v1/session', {method: 'POST', headers: {Authorization: arguments[0]}}).then(arguments[1])"
    desk.browser.driver.execute_async_script(opened, f"Bearer {other}")
    desk.browser.press("Restore")
    desk.browser.reads("Somebody else has signed in")


def test_a_photo_that_another_tab_deleted_is_gone(desk: Desk) -> None:
    """To delete it once more is no error."""
    identity_id = desk.tenant.identity()
    photo = desk.tenant.reference(identity_id)
    desk.hand.work("assess")
    desk.open(identity_id, "1 of 1 photos are used")
    assert desk.tenant.http.delete(f"/v1/references/{photo['id']}").status_code == 204
    desk.browser.one(".photo .remove").click()
    desk.browser.press("Delete it")
    desk.browser.until(lambda: not desk.browser.all(".photo, .notice.bad"), "page without the photo")


def test_a_short_outage_is_waited_out(desk: Desk) -> None:
    """The verdict of a photo comes although the service was away while it was waited for."""
    desk.open(desk.tenant.identity())
    desk.browser.away("references?", 2)
    desk.browser.choose_files("part-photos", [desk.photo(1)])
    desk.browser.reads("The connection is lost")
    desk.hand.work("assess")
    desk.browser.reads("1 of 1 photos are used")
    assert "The connection is lost" not in desk.browser.text()


def test_a_page_that_did_not_load_is_tried_again(desk: Desk) -> None:
    """Neither a page nor the session itself needs more than a second try."""
    desk.browser.away("/v1/jobs", 1)
    desk.browser.press("Jobs")
    desk.browser.reads("The service does not answer")
    desk.browser.press("Try again")
    desk.browser.reads("There are no jobs yet")
    desk.browser.offline(True)
    desk.browser.driver.execute_script("location.hash = '#/'")
    desk.browser.reads("The service does not answer")
    desk.browser.offline(False)
    desk.browser.press("Try again")
    desk.browser.reads("Nobody is here yet")


def test_no_answer_is_not_taken_for_signed_out(desk: Desk) -> None:
    """Where the session cannot be asked for, the page offers to ask again, and asks for no key."""
    desk.browser.block("*/v1/session")
    desk.browser.driver.refresh()
    desk.browser.reads("The service does not answer")
    assert desk.browser.all("#key") == []
    desk.browser.block()
    desk.browser.press("Try again")
    desk.browser.reads("Nobody is here yet")


def test_a_training_without_connection_says_so(desk: Desk) -> None:
    """It does not look alive while nothing is heard of it, and goes on by itself afterwards."""
    desk.open(desk.person())
    desk.browser.block("*/v1/jobs/*")
    desk.browser.press("Train")
    desk.browser.reads("The connection is lost")
    desk.browser.block()
    claim = desk.hand.claim("train")
    assert claim is not None
    desk.hand.progress(claim, 4)
    desk.browser.reads("Step 4 of 10")
    assert "The connection is lost" not in desk.browser.text()
    desk.browser.press("Stop")
    desk.browser.reads("Stopping")
    assert desk.browser.driver.switch_to.active_element.text == "Stopping\u2026"
    desk.hand.stopped(claim)
    desk.browser.reads("The training was stopped")
