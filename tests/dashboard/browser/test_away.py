"""A manager that goes away and comes back, and a dashboard behind a path."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.dashboard.browser.conftest import SHOTS, Eyes, printed, watched
from tests.e2e.harness import World, study, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(katib: World) -> str:
    """In front of a manager of its own, under a path."""
    katib.manager()
    process = katib.start(
        "katib-dashboard", "-s", katib.address, "--listen", "127.0.0.1:0", "--root-path", "/team/katib"
    )
    return until(lambda: printed(process.output))


@pytest.fixture
def eyes(browser: Browser, url: str) -> Iterator[Eyes]:
    yield from watched(browser, url)


def test_a_list_without_studies_says_how_to_make_one(eyes: Eyes) -> None:
    page = eyes.go("/")
    expect(page.get_by_text("No studies yet")).to_be_visible()
    eyes.check_access()
    eyes.check_on_a_phone()
    eyes.shoot("empty")
    page.locator("main").get_by_role("link", name="New study").first.click()
    assert page.url == f"{eyes.url}create"
    expect(page.locator("#verdict")).to_have_text("The file is well formed.")


def test_a_manager_that_goes_away_is_said_so_and_pages_come_back_by_themselves(eyes: Eyes, katib: World) -> None:
    eyes.expected += ["503", "504"]
    with katib.client() as client:
        # Without an algorithm nobody asks for trials.
        study_id = client.create_study(study("patient", algorithm=""))
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("#study[data-ready]")).to_be_attached()
    manager = katib.processes[0]
    manager.kill()
    expect(page.locator("#away")).to_contain_text("The manager does not answer")
    # Wherever the reader is on the page.
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#away")).to_be_in_viewport()
    eyes.shoot("away-scrolled")
    expect(page.locator("h1")).to_have_text("patient")
    eyes.check_access()
    eyes.check_on_a_phone()
    eyes.shoot("away-banner")

    other = page.context.new_page()
    other.goto(eyes.url)
    expect(other.locator("h1")).to_have_text("The manager does not answer")
    Eyes(other, eyes.url).check_access()
    Eyes(other, eyes.url).check_on_a_phone()
    other.screenshot(path=SHOTS / "away.png")

    katib.processes[0] = katib.manager()
    expect(page.locator("#away")).to_be_hidden()
    expect(other.locator("h1")).to_have_text("Studies")
    expect(other.get_by_role("link", name="patient")).to_be_visible()
