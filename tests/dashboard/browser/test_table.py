"""The table of a study's trials, and what chooses from it."""

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.browser.conftest import Eyes
from tests.dashboard.browser.looked_at import lively, whole
from tests.e2e.harness import World, trials

__all__ = ["lively", "whole"]

pytestmark = pytest.mark.slow


class TestTable:
    def test_any_column_sorts_either_way(self, eyes: Eyes, whole: str, katib: World) -> None:
        with katib.client() as client:
            values = sorted(t.objective or 0 for t in trials(client, whole))
        page = eyes.go(f"/studies/{whole}")
        # A click that begins while the columns still find their widths may end beside the button.
        expect(page.locator("#trial-pages")).to_contain_text("of 40")
        button = page.locator("#trial-table thead button", has_text="acc")
        first = page.locator("#trial-table tbody tr").first.locator("td").nth(1)
        button.click()
        expect(page.locator("#trial-table th", has_text="acc")).to_have_attribute("aria-sort", "descending")
        assert float(first.inner_text()) == pytest.approx(values[-1], rel=1e-5)
        button.click()
        assert float(first.inner_text()) == pytest.approx(values[0], rel=1e-5)

    def test_words_and_comparisons_filter(self, eyes: Eyes, whole: str, katib: World) -> None:
        with katib.client() as client:
            good = sum((t.objective or 0) > 0.5 for t in trials(client, whole))
        page = eyes.go(f"/studies/{whole}")
        expect(page.locator("#trial-pages")).to_contain_text("of 40")
        page.locator("#trial-filter").fill("acc>0.5")
        expect(page.locator("#trial-pages .num")).to_have_text(re.compile(rf" of {good}$"))
        page.locator("#trial-filter").fill("7")
        expect(page.locator("#trial-table tbody th")).to_have_text([re.compile("7$")])
        page.locator("#trial-filter").fill("7 12 acc>=0")
        expect(page.locator("#trial-table tbody th")).to_have_text([re.compile("12$"), re.compile("7$")])
        page.locator("#trial-filter").fill("nothing-like-that")
        expect(page.locator("#trial-pages")).to_contain_text("No trial is like that")

    def test_trials_are_compared_by_choosing_them_in_the_table(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go(f"/studies/{whole}")
        chart = page.locator('[data-chart="curves"]')
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_attribute("aria-label", re.compile("^Values of acc of "))
        page.locator("#curve-choice").select_option("table")
        expect(chart).to_have_attribute("aria-label", re.compile("of 30 trials"))
        page.locator("#trial-filter").fill("3 7 12")
        expect(page.locator("#trial-pages")).to_contain_text("of 3")
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_attribute("aria-label", re.compile("of 3 trials"))

    def test_pages_turn_and_a_trial_opens(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go(f"/studies/{whole}")
        page.locator("#trials-next").click()
        expect(page.locator("#trial-pages .num")).to_have_text("26–40 of 40")
        page.locator("#trial-table tbody a").last.click()
        expect(page.locator("h1")).to_contain_text("Trial 1")

    def test_whoever_comes_back_from_a_trial_finds_the_table_as_it_was(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go(f"/studies/{whole}")
        expect(page.locator("#trial-pages")).to_contain_text("of 40")
        page.locator("#trial-filter").fill("x > 0")
        page.locator("#trial-state").select_option("C")
        page.locator("#trial-table thead button", has_text="acc").click()
        page.locator("#trials-next").click()
        status, numbers = page.locator("#trial-pages .num"), page.locator("#trial-table tbody th")
        expect(status).to_have_text("26–40 of 40")
        seen = numbers.all_inner_texts()
        for back in (page.go_back, page.get_by_role("navigation", name="Path").get_by_role("link", name="whole").click):
            page.locator("#trial-table tbody a").first.click()
            expect(page.locator("h1")).to_contain_text("Trial")
            back()
            expect(status).to_have_text("26–40 of 40")
            expect(numbers).to_have_text(seen)
            expect(page.locator("#trial-filter")).to_have_value("x > 0")
            expect(page.locator("#trial-state")).to_have_value("C")
        page.reload()
        expect(numbers).to_have_text(seen)
        page.locator("#trial-filter").fill("")
        page.locator("#trial-state").select_option("")
        page.locator("#trial-table thead button", has_text="Trial").click()
        assert page.url.endswith(f"/studies/{whole}"), "what is usual is not in the address"

    def test_an_address_that_makes_no_sense_shows_the_newest_trials(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go(f"/studies/{whole}?sort=-nothing&state=nothing&page=99999&q=")
        expect(page.locator("#trial-pages .num")).to_have_text("26–40 of 40")
        expect(page.locator("#trial-table thead th").first).to_have_attribute("aria-sort", "descending")

    def test_what_is_chosen_on_an_axis_is_what_the_table_shows(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go(f"/studies/{whole}")
        chart = page.locator('[data-chart="parallel"]')
        chart.scroll_into_view_if_needed()
        expect(chart.locator("canvas")).to_have_count(1)
        box = chart.bounding_box()
        assert box
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 60, box["y"] + 180, steps=8)
        page.mouse.up()
        expect(page.locator("#parallel-note")).to_contain_text("of 40 trials chosen")
        chosen = int(page.locator("#parallel-note").inner_text().split()[0])
        assert 0 < chosen < 40
        expect(page.locator("#trial-pages .num")).to_contain_text(f"of {chosen}")
        page.locator("#clear-choice").click()
        expect(page.locator("#trial-pages .num")).to_contain_text("of 40")

    def test_importance_names_its_method_and_every_parameter(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go(f"/studies/{whole}")
        page.locator("#importance").scroll_into_view_if_needed()
        expect(page.locator("#importance-note")).to_contain_text("random forest, from 40 completed trials")
        expect(page.locator("#shares tbody tr")).to_have_count(3)
        # The objective is x itself.
        expect(page.locator("#shares tbody th").first).to_have_text("x")

    @pytest.mark.parametrize("kind", ["csv", "json", "yaml"])
    def test_downloads_come_as_files(self, eyes: Eyes, whole: str, kind: str) -> None:
        page = eyes.go(f"/studies/{whole}")
        with page.expect_download() as download:
            page.locator(f'a[href$=".{kind}"]').click()
        assert whole in download.value.suggested_filename
