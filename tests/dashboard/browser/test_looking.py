"""What a reader sees, on studies that run while the test looks."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from tests.dashboard.browser.conftest import Eyes
from tests.dashboard.browser.looked_at import lively, whole
from tests.e2e.harness import World, finished, study, trials, until

__all__ = ["lively", "whole"]

pytestmark = pytest.mark.slow

NARROW = 360


class TestLive:
    def test_the_list_moves_on_by_itself(self, eyes: Eyes, lively: str) -> None:
        page = eyes.go("/")
        row = page.locator(f'tr[data-key="{lively}"]')
        expect(row).to_contain_text("lively <img")
        before = row.locator(".progress").inner_text()
        expect(row.locator(".progress")).not_to_have_text(before)
        expect(row.locator(".spark path")).to_have_count(1)
        eyes.shoot("studies")
        eyes.check_access()
        assert page.title() == "Studies · Katib"

    def test_a_study_moves_on_by_itself_and_shows_every_chart(self, eyes: Eyes, lively: str) -> None:
        page = eyes.go(f"/studies/{lively}")
        expect(page.locator("#study[data-ready]")).to_be_attached()
        count = page.locator(".tiles .legend")
        before = count.inner_text()
        expect(count).not_to_have_text(before)
        for name in ("history", "curves", "parallel", "contour", "timeline"):
            chart = page.locator(f'[data-chart="{name}"]')
            chart.scroll_into_view_if_needed()
            expect(chart.locator("canvas")).to_have_count(1)
        page.locator("#slices").scroll_into_view_if_needed()
        expect(page.locator("#slice-grid canvas")).to_have_count(3)
        expect(page.locator("#trial-table tbody tr").first).to_be_visible()
        # The hostile word of a parameter is a text in the table.
        expect(page.locator("#trial-table td", has_text="onerror").first).to_be_visible()
        assert page.title().endswith(" · Katib")
        eyes.shoot("study", full=True)
        eyes.check_access()

    def test_a_trial_shows_its_log_and_curves_while_it_runs(self, eyes: Eyes, lively: str, katib: World) -> None:
        with katib.client() as client:
            (trial,) = until(lambda: [t for t in trials(client, lively) if t.state.value == "RUNNING"][:1])
        page = eyes.go(f"/studies/{lively}/trials/{trial.number}?id={trial.id[:8]}")
        expect(page.locator("#log")).to_contain_text("epoch=7 acc=")
        expect(page.locator(".state").first).to_have_text("Completed")
        expect(page.locator("#metrics canvas")).to_have_count(2)
        expect(page.locator("#log-note")).to_contain_text("all that it printed")
        expect(page.get_by_text(trial.run, exact=True)).to_be_visible()
        eyes.shoot("trial", full=True)
        eyes.check_access()


class TestEnding:
    def test_the_metrics_of_the_last_trials_come_after_the_study_has_ended(self, eyes: Eyes, katib: World) -> None:
        with katib.client() as client:
            script = "sleep 1; echo acc=$x loss=2"
            study_id = client.create_study(study("ending", script, metrics=("loss",), limits={"max_trials": 6}))
        page = eyes.go(f"/studies/{study_id}")
        expect(page.locator(".meta .state")).to_have_text("Completed")
        losses = page.locator("#trial-table tbody tr td:nth-child(4)")
        expect(losses).to_have_text(["2"] * 6)

    def test_the_time_left_counts_trials_that_run_in_waves(self, eyes: Eyes, katib: World) -> None:
        with katib.client() as client:
            limits = {"max_trials": 24, "max_parallel": 4}
            study_id = client.create_study(study("waves", "sleep 3; echo acc=$x", limits=limits))
        page = eyes.go(f"/studies/{study_id}")
        left = page.locator("#left")
        expect(left).to_contain_text("left")
        # Five waves of at least three seconds, of which one has begun; the pace within the first wave would be nothing.
        found = re.fullmatch(r"About ([\d.]+)s left, as the latest \d+ trials went\.", left.inner_text())
        assert found is not None
        assert 6 < float(found[1]) < 30
        with katib.client() as client:
            client.stop_study(study_id)


class TestCurves:
    def test_the_line_next_to_the_pointer_says_which_trial_it_is(
        self, eyes: Eyes, katib: World, tmp_path: Path
    ) -> None:
        with katib.client() as client:
            script = f'y=0.1; mkdir {tmp_path}/one && y=0.9; for i in 0 1 2 3; do echo "epoch=$i acc=$y"; done'
            study_id = client.create_study(study("lines", script, limits={"max_trials": 2}))
            finished(client, study_id)
        page = eyes.go(f"/studies/{study_id}")
        chart = page.locator('[data-chart="curves"]')
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_attribute("data-drawn", "1")
        box = chart.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.2)
        told = chart.locator(".tip")
        expect(told).to_contain_text("0.9")
        expect(told).to_contain_text("Trial")
        first = told.locator("b").inner_text()
        page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.8)
        expect(told).to_contain_text("0.1")
        assert told.locator("b").inner_text() != first


class TestLoading:
    def test_nothing_is_said_to_be_missing_before_it_is_known(self, eyes: Eyes, whole: str) -> None:
        held: list[Route] = []
        eyes.page.route("**/changes?*", lambda route: held.append(route))
        page = eyes.go(f"/studies/{whole}")
        until(lambda: bool(held) or page.wait_for_timeout(50))
        expect(page.locator("#history-note")).to_contain_text("the newest 25; the others are being loaded")
        for chart in ("parallel", "timeline"):
            page.locator(f'[data-chart="{chart}"]').scroll_into_view_if_needed()
            expect(page.locator(f'[data-chart="{chart}"]')).to_have_text("Loading…")
        expect(page.locator("#trial-pages")).to_have_text("1–25 of 25; others are being loaded")
        expect(page.locator("#importance-note")).to_have_text("Loading…")
        eyes.shoot("loading", full=True)
        held.pop().continue_()
        page.unroute("**/changes?*")
        expect(page.locator('[data-chart="timeline"] canvas')).to_have_count(1)
        expect(page.locator("#trial-pages")).to_contain_text("of 40")

    def test_an_answer_that_breaks_off_is_asked_for_again(self, eyes: Eyes, whole: str) -> None:
        whether = [True]
        eyes.page.route(
            "**/changes?*",
            lambda route: (
                route.fulfill(content_type="application/json", body='{"revision": 3, "tri')
                if whether and whether.pop()
                else route.continue_()
            ),
        )
        page = eyes.go(f"/studies/{whole}")
        expect(page.locator("#away")).to_contain_text("broke off")
        expect(page.locator("#trial-pages")).to_contain_text("of 40")
        expect(page.locator("#away")).to_be_hidden()

    def test_what_could_not_be_loaded_once_is_asked_for_again(self, eyes: Eyes, whole: str) -> None:
        eyes.expected.append("503")
        failures = [1, 2]
        eyes.page.route(
            "**/curves?*",
            lambda route: (
                route.fulfill(status=503, json={"error": "away"}) if failures and failures.pop() else route.continue_()
            ),
        )
        page = eyes.go(f"/studies/{whole}")
        chart = page.locator('[data-chart="curves"]')
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_text("They could not be loaded: away")
        expect(chart.locator("canvas")).to_have_count(1, timeout=60_000)


class TestForEverybody:
    @pytest.mark.parametrize("width", [NARROW, 768, 1920])
    def test_no_page_is_wider_than_its_window(self, eyes: Eyes, whole: str, width: int) -> None:
        eyes.page.set_viewport_size({"width": width, "height": 800})
        for path in ("/", "/create", f"/studies/{whole}", f"/studies/{whole}/trials/1", "/nothing"):
            if path == "/nothing":
                eyes.expected.append("404")
            eyes.go(path)
            eyes.page.wait_for_timeout(300)
            eyes.check_width()
            if width == NARROW:
                eyes.check_access()
            eyes.shoot(f"width-{width}{path.replace('/', '-').replace(whole, 'study')}")

    @pytest.mark.parametrize("width", [NARROW, 1280])
    def test_long_names_make_no_page_wider_than_its_window(self, eyes: Eyes, katib: World, width: int) -> None:
        long = "a-name-without-any-blank-" * 4
        parameters = tuple(
            ParameterConfig(f"{long}{n}", ParameterType.CATEGORICAL, FeasibleSpace(list=(f"{long}a", f"{long}b")))
            for n in range(3)
        )
        with katib.client() as client:
            spec = study(
                long,
                algorithm="",
                command=(),
                parameters=parameters,
                metrics=(f"{long}metric",),
                limits={"max_trials": 8, "max_parallel": 8},
            )
            study_id = client.create_study(spec)
            given, _ = client.suggest_trials(study_id, 8, algorithm="random")
            for trial in given:
                client.complete_trial(study_id, trial.id, 1 / trial.number)
        eyes.expected = ["409"]  # its client has the log
        eyes.page.set_viewport_size({"width": width, "height": 800})
        for path in (f"/studies/{study_id}", f"/studies/{study_id}/trials/1"):
            page = eyes.go(path)
            page.locator("[data-ready]").first.wait_for()
            for section in page.locator("section.card").all():
                section.scroll_into_view_if_needed()
                page.wait_for_timeout(200)
            eyes.check_width()
            eyes.shoot(f"long-names-{width}-{'trial' if 'trials' in path else 'study'}", full=True)

    def test_a_phone_shows_the_state_and_the_best_value_of_each_study_without_scrolling(
        self, eyes: Eyes, whole: str
    ) -> None:
        eyes.page.set_viewport_size({"width": NARROW, "height": 800})
        row = eyes.go("/").locator(f'tr[data-key="{whole}"]')
        for part in (".state", ".best-of .num", ".age"):
            box = until(row.locator(part).bounding_box)
            assert 0 <= box["x"] <= box["x"] + box["width"] <= NARROW

    def test_everything_is_reached_by_the_keyboard(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.locator(f'a[href="/studies/{whole}"]').focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/studies/**")
        page.locator("#trial-table thead button").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#trial-table thead th").first).to_have_attribute("aria-sort", "ascending")

    def test_colours_follow_the_system_until_they_are_chosen(self, eyes: Eyes, whole: str) -> None:
        page = eyes.page
        page.emulate_media(color_scheme="dark")
        eyes.go("/")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        eyes.shoot("studies-dark")
        page.locator("#theme").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        expect(page.locator("#theme")).to_have_attribute("aria-label", "Colours: light")

    def test_a_search_is_made_as_one_types_and_stays_in_the_address(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go("/")
        page.get_by_role("searchbox").fill("whole")
        expect(page.locator("tbody tr")).to_have_count(1)
        assert "q=whole" in page.url
        page.get_by_role("searchbox").fill("nobody-has-this")
        expect(page.get_by_text("No study is like that")).to_be_visible()
        eyes.check_access()
