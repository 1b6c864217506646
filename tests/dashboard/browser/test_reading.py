"""A page that moves on by itself, and somebody who reads it at leisure."""

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, study, trials, until

pytestmark = pytest.mark.slow

SELECT = "part => getSelection().selectAllChildren(document.querySelector(part))"


@pytest.fixture(scope="module")
def busy(katib: World, url: str) -> str:
    """A study that runs while the tests look, with some trials behind it."""
    with katib.client() as client:
        limits = {"max_trials": 500, "max_parallel": 2}
        study_id = client.create_study(study("busy", "echo acc=$x; sleep 1", limits=limits))
        until(lambda: sum(trial.state.finished for trial in trials(client, study_id)) > 3)
    return study_id


def ready(eyes: Eyes, study_id: str) -> Page:
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("#study[data-ready]")).to_be_attached()
    return page


@pytest.mark.parametrize("part", ["#study h1", "#trial-table tbody tr:nth-child(3)"])
def test_what_is_selected_stays_until_the_selection_is_gone(eyes: Eyes, busy: str, part: str) -> None:
    page = ready(eyes, busy)
    shown = page.locator(".tiles .legend" if "h1" in part else "#trial-pages .num")
    page.evaluate(SELECT, part)
    before, selected = shown.inner_text(), page.evaluate("getSelection().toString()")
    assert selected
    page.wait_for_timeout(6000)
    assert page.evaluate("getSelection().toString()") == selected
    assert shown.inner_text() == before
    page.evaluate("getSelection().removeAllRanges()")
    # At once, with what has come meanwhile.
    expect(shown).not_to_have_text(before, timeout=1000)


def test_a_row_that_says_the_same_is_not_made_anew(eyes: Eyes, busy: str) -> None:
    page = ready(eyes, busy)
    page.locator("#trial-table thead button", has_text="Trial").click()
    first, status = page.locator("#trial-table tbody tr").first, page.locator("#trial-pages .num")
    first.evaluate("row => { row.known = true }")
    # While every row is on the first page, each new trial is another total.
    before = page.locator(".tiles .legend").inner_text()
    expect(page.locator(".tiles .legend")).not_to_have_text(before)
    page.wait_for_timeout(2500)
    assert first.evaluate("row => row.known"), status.inner_text()


def test_a_tooltip_under_a_resting_pointer_is_there_for_some_seconds(eyes: Eyes, busy: str) -> None:
    page = ready(eyes, busy)
    chart = page.locator('[data-chart="timeline"]')
    chart.scroll_into_view_if_needed()
    expect(chart.locator("canvas")).to_have_count(1)
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    tip = chart.locator(".tip")

    def found() -> bool:
        for x in range(40, int(box["width"]) - 40, 7):
            page.mouse.move(box["x"] + x, box["y"] + 16 + 15)
            if tip.count() and tip.is_visible():
                return True
        return False

    until(found)
    before, about = tip.inner_text(), chart.get_attribute("aria-label")
    eyes.shoot("tooltip")
    page.wait_for_timeout(3500)
    expect(tip).to_be_visible()
    assert tip.inner_text() == before
    assert chart.get_attribute("aria-label") == about
    page.mouse.move(box["x"] + 5, box["y"] - 40)
    expect(tip).to_be_hidden()
    expect(chart).not_to_have_attribute("aria-label", about or "")
