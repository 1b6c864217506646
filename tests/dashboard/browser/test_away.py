"""A manager that goes away and comes back, and a dashboard behind a path."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from katib.domain.study import Limits
from tests.dashboard.browser.conftest import SHOTS, Eyes, printed, watched
from tests.e2e.harness import World, finished, study, until

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


def test_trials_that_a_copy_that_is_put_back_does_not_have_go_from_an_open_page(
    eyes: Eyes, katib: World, tmp_path: Path
) -> None:
    eyes.expected += ["503", "504"]
    katib.suggestion("random")
    with katib.client() as client:
        study_id = client.create_study(study("restored", limits={"max_trials": 1}))
        finished(client, study_id)
    katib.processes[0].end()
    database = katib.folder / "data" / "katib.db"
    copy = shutil.copyfile(database, tmp_path / "copy")
    katib.processes[0] = katib.manager()
    with katib.client() as client:
        client.update_study(study_id, Limits(max_trials=3))
        finished(client, study_id)
    page = eyes.go(f"/studies/{study_id}")
    rows = page.locator("#trial-table tbody tr")
    expect(rows).to_have_count(3)
    expect(page.locator("#study[data-ready]")).to_be_attached()
    katib.processes[0].end()
    shutil.copyfile(copy, database)
    katib.processes[0] = katib.manager()
    # Of a study that has ended the page asks seldom.
    expect(rows).to_have_count(1, timeout=60_000)
