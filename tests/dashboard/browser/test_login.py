"""A reader logs in, looks at a page that was asked for before, and logs out."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from katib.api.client import ManagerClient
from tests.dashboard.browser.conftest import Eyes, printed, watched
from tests.e2e.harness import World, study, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(katib: World) -> str:
    katib.manager("--auth", "tokens", "--bootstrap-token-file", str(katib.folder / "first"))
    process = katib.start("katib-dashboard", "-s", katib.address, "--listen", "127.0.0.1:0", "--root-path", "/katib")
    return until(lambda: printed(process.output))


@pytest.fixture
def eyes(browser: Browser, url: str) -> Iterator[Eyes]:
    yield from watched(browser, url)


def test_the_login_stands_in_the_place_of_the_page_that_was_asked_for(eyes: Eyes, katib: World) -> None:
    secret = (katib.folder / "first").read_text().strip()
    with ManagerClient(katib.address, 30, token=secret) as client:
        study_id = client.create_study(study("hidden", algorithm=""))
    eyes.expected += ["401"]
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("h1")).to_have_text("Log in")
    eyes.check_access()
    eyes.check_width()
    eyes.check_on_a_phone()
    eyes.shoot("login")
    page.get_by_label("Token").fill("katib_nonsense")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The token is not one of this manager's")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("h1")).to_have_text("hidden")
    assert page.url.endswith(f"/katib/studies/{study_id}")
    assert page.evaluate("document.cookie") == ""
    page.set_viewport_size({"width": 320, "height": 700})
    eyes.check_width()
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("h1")).to_have_text("Log in")
    expect(page.get_by_role("button", name="Log out")).to_have_count(0)
    page.go_back()
    expect(page.locator("h1")).to_have_text("Log in")


def test_what_is_entered_before_the_script_is_there_stays(eyes: Eyes) -> None:
    held: list[Route] = []
    eyes.page.route(re.compile(r"/(login|create)\.js$"), lambda route: held.append(route))
    for path, box in (("/login", "#token"), ("/create", "#study-file")):
        eyes.page.goto(eyes.url.rstrip("/") + path, wait_until="commit")
        go = eyes.page.locator("form .primary")
        eyes.page.fill(box, "typed")
        until(lambda: bool(held) or eyes.page.wait_for_timeout(50))
        expect(go).to_be_disabled()
        if path == "/login":
            eyes.page.keyboard.press("Enter")
        held.pop().continue_()
        expect(go).to_be_enabled()
        expect(eyes.page.locator(box)).to_have_value("typed")
        assert eyes.page.url.endswith(path)


def test_who_is_logged_in_no_more_is_told_how_to_go_on(eyes: Eyes, katib: World) -> None:
    first = (katib.folder / "first").read_text().strip()
    with ManagerClient(katib.address, 30, token=first) as client:
        study_id = client.create_study(study("watched", algorithm=""))
        token, secret = client.create_token("", "ann", "user", ("admin",), (), None)
        eyes.expected += ["401"]
        page = eyes.go(f"/studies/{study_id}")
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("h1")).to_have_text("watched")
        client.revoke_token(token.id)
    expect(page.locator("#away")).to_contain_text("Load the page again to log in.")
    page.reload()
    expect(page.locator("h1")).to_have_text("Log in")
