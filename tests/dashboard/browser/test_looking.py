"""What a reader sees, on studies that run while the test looks."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Setting
from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, finished, study, trials, until

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=document.title='broken'>"
NARROW = 360
PARAMETERS = (
    ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
    ParameterConfig("size", ParameterType.INT, FeasibleSpace("1", "8")),
    ParameterConfig("kind", ParameterType.CATEGORICAL, FeasibleSpace(list=("a", "b", HOSTILE))),
)
CURVE = 'for i in 1 2 3 4 5 6; do echo "epoch=$i acc=0.$i loss=$((9-i))"; sleep 0.3; done; echo "epoch=7 acc=$x loss=1"'

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


@pytest.fixture(scope="module")
def lively(katib: World, url: str) -> str:
    """A study that runs for a while."""
    with katib.client() as client:
        spec = study(
            f"lively {HOSTILE}",
            CURVE,
            owner=HOSTILE,
            parameters=PARAMETERS,
            metrics=("loss",),
            early_stopping="medianstopping",
            limits={"max_trials": 400, "max_parallel": 2},
        )
        return client.create_study(spec)


@pytest.fixture(scope="module")
def whole(katib: World, url: str) -> str:
    """A study that has ended, with forty trials."""
    with katib.client() as client:
        spec = study(
            "whole", "echo acc=$x", parameters=PARAMETERS, settings=(Setting("Seed", "3"),), limits={"max_trials": 40}
        )
        study_id = client.create_study(spec)
        finished(client, study_id, 120)
        return study_id


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
