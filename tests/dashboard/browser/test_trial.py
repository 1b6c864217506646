"""The page of a trial, its log above all; and what scripts do that no reader sees."""

import re

import pytest
from playwright.sync_api import Route, expect

from tests.dashboard.browser.conftest import Eyes
from tests.dashboard.browser.looked_at import lively, whole
from tests.e2e.harness import World, finished, study, until

__all__ = ["lively", "whole"]

pytestmark = pytest.mark.slow

# A module that the page has taken, as it stands beside the others.
IMPORT = "((name) => import(document.querySelector('script[type=module]').src.replace(/[^/]*$/, name)))"
LONG = """
  const began = performance.now();
  for (const end of ['', '\\n', '\\r', '\\ry']) new Plain().take('x'.repeat(65536) + end);
  new Plain().take('\\r'.repeat(65536) + 'x');
  return performance.now() - began;
"""
# How often it has been drawn before it is closed, and after what would have had it drawn again.
CLOSED = """
  const box = document.createElement('div');
  box.style.height = '200px';
  document.querySelector('h1').before(box);
  let drawn = 0;
  const chart = new Chart(box, () => { drawn += 1; return {xAxis: {}, yAxis: {}, series: []}; });
  const changed = () => document.documentElement.dispatchEvent(new Event('themechange'));
  scrollTo(0, 0);
  chart.refresh();
  while (!box.querySelector('canvas')) await new Promise((then) => setTimeout(then, 20));
  changed();
  const before = drawn;
  chart.readSince = performance.now() - 4900;
  chart.refresh();
  chart.close();
  changed();
  chart.refresh();
  box.style.height = '300px';
  await new Promise((then) => setTimeout(then, 400));
  return {before, after: drawn, canvas: box.querySelectorAll('canvas').length};
"""


class TestTrial:
    def test_a_trial_that_has_ended_without_a_value_is_not_said_to_have_none_yet(
        self, eyes: Eyes, katib: World
    ) -> None:
        with katib.client() as client:
            study_id = client.create_study(study("silent", "exit 3", limits={"max_trials": 1, "retry_limit": 0}))
            finished(client, study_id)
        page = eyes.go(f"/studies/{study_id}/trials/1")
        expect(page.locator("#no-metrics")).to_have_text("It has reported no values.")
        expect(page.locator("#log-note")).to_have_text("It printed nothing.")

    def test_the_log_of_a_client_s_trial_is_not_asked_for(self, eyes: Eyes, katib: World) -> None:
        with katib.client() as client:
            study_id = client.create_study(study("elsewhere", algorithm="", command=()))
            (trial,), _ = client.suggest_trials(study_id, 1, algorithm="random")
            client.complete_trial(study_id, trial.id, 0.5)
        # What the browser would say of a refusal fails the test.
        page = eyes.go(f"/studies/{study_id}/trials/1")
        expect(page.locator("#trial")).to_have_attribute("data-ready", "1")
        expect(page.locator("section", has_text="Log").last).to_contain_text("stays with the client that runs it")
        page.wait_for_load_state("networkidle")

    def test_a_long_log_is_read_from_its_end_to_its_beginning_and_without_colour_codes(
        self, eyes: Eyes, katib: World
    ) -> None:
        line = r'"\033[1;32mline %05d\033[0m \033]0;title\007\303\251\n"'
        script = f"awk 'BEGIN {{ for (i = 0; i < 4000; i++) printf {line}, i }}'; echo acc=$x"
        with katib.client() as client:
            study_id = client.create_study(study("long log", script, limits={"max_trials": 1}))
            finished(client, study_id)
        page = eyes.go(f"/studies/{study_id}/trials/1")
        log, note = page.locator("#log"), page.locator("#log-note")
        expect(note).to_have_text(re.compile(r"^The last 64 KiB of 1[34]\d KiB that it printed\.$"))
        assert log.inner_text().splitlines()[-2] == "line 03999 é"
        eyes.shoot("log")
        page.get_by_role("button", name="Show earlier").click()
        expect(note).to_contain_text("The last 128 KiB of")
        assert page.locator("#log-follow").is_checked() is False
        page.get_by_role("button", name="Show earlier").click()
        expect(note).to_have_text("This is all that it printed.")
        expect(page.locator("#log-earlier")).to_be_hidden()
        lines = log.inner_text().splitlines()
        assert lines[:4000] == [f"line {number:05} é" for number in range(4000)]
        assert page.evaluate("document.activeElement.id") == "log"
        eyes.check_access()

    def test_a_long_line_without_an_end_is_shown_at_once(self, eyes: Eyes, katib: World) -> None:
        over = "printf 'one\\rtwo\\rthree\\r\\r\\n\\r\\nfour\\rfive\\n'"
        script = f"{over}; head -c 64000 /dev/zero | tr '\\0' x; echo; echo acc=$x"
        with katib.client() as client:
            study_id = client.create_study(study("long line", script, limits={"max_trials": 1}))
            finished(client, study_id)
        page = eyes.go(f"/studies/{study_id}/trials/1")
        expect(page.locator("#log-note")).to_have_text("This is all that it printed.")
        lines = page.locator("#log").text_content().split("\n")
        assert lines[:4] == ["three", "", "five", "x" * 64000]
        took = page.evaluate(f"{IMPORT}('plain.js').then(({{Plain}}) => {{ {LONG} }})")
        assert took < 1000, took

    @pytest.mark.parametrize(
        ("pieces", "shown"),
        [
            (["1%\r2%\r3%"], "3%"),
            (["1%\r2%\r"], "2%"),
            (["1%\r2%\r", "\ndone\n"], "2%\ndone\n"),
            (["1%\r2%\r\r\ndone\r\n"], "2%\ndone\n"),
            (["\r\r\r\n\rx\n\n"], "\nx\n\n"),
            (["1%\r\x1b[K2%\x1b[0", "m\n"], "2%\n"),
        ],
    )
    def test_of_a_line_that_was_written_over_the_last_is_shown(
        self, eyes: Eyes, whole: str, pieces: list[str], shown: str
    ) -> None:
        page = eyes.go(f"/studies/{whole}/trials/1")
        taken = "const plain = new Plain(); return pieces.map((piece) => plain.take(piece)).join('')"
        assert page.evaluate(f"(pieces) => {IMPORT}('plain.js').then(({{Plain}}) => {{ {taken} }})", pieces) == shown

    def test_a_chart_that_is_closed_leaves_nothing_behind(self, eyes: Eyes, whole: str) -> None:
        page = eyes.go(f"/studies/{whole}")
        expect(page.locator("#study[data-ready]")).to_be_attached()
        found = page.evaluate(f"{IMPORT}('chart.js').then(async ({{Chart}}) => {{ {CLOSED} }})")
        assert found == {"before": 2, "after": 2, "canvas": 0}

    def test_the_metrics_are_not_asked_for_before_the_time_that_was_said(self, eyes: Eyes, lively: str) -> None:
        eyes.expected = ["503"]
        asked: list[Route] = []

        def busy(route: Route) -> None:
            asked.append(route)
            route.fulfill(status=503, headers={"retry-after": "4"}, json={"error": "busy"})

        eyes.page.route("**/metrics", busy)
        page = eyes.go(f"/studies/{lively}")
        until(lambda: bool(asked) or page.wait_for_timeout(50))
        page.wait_for_timeout(10_000)
        # After four to eight seconds each, and not with each refresh.
        assert 2 <= len(asked) <= 3
