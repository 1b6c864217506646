"""Values over several powers of ten, further metrics in the drawings, and the trials beside a trial."""

import itertools

import pytest
from playwright.sync_api import Page, expect

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Objective
from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, finished, study

pytestmark = pytest.mark.slow

COMMAND = 'for i in 1 2 3; do echo "loss=1e-$x ms=1e$x delta=$((x-4))"; done'


@pytest.fixture(scope="module")
def decades(katib: World, url: str) -> str:
    """Eight trials: a loss of 0.1 to 1e-8, milliseconds of 10 to 1e8, and a difference of -3 to 4."""
    with katib.client() as client:
        spec = study(
            "decades",
            COMMAND,
            algorithm="grid",
            parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace("1", "8")),),
            objective_name="loss",
            optimization=Objective.MINIMIZE,
            metrics=("ms", "delta"),
            limits={"max_trials": 8},
        )
        study_id = client.create_study(spec)
        finished(client, study_id, 60)
        return study_id


def ready(eyes: Eyes, path: str, part: str = "study") -> Page:
    page = eyes.go(path)
    expect(page.locator(f"#{part}[data-ready]")).to_be_attached()
    return page


# How far up the picture the dots of the history lie, from 0 to 1.
HEIGHTS = """async () => {
    const {init} = await import(document.querySelector('link[href$="vendor/echarts.js"]').href);
    // Where there is a chart already, that one.
    const chart = init(document.querySelector('[data-chart="history"]'));
    const {data} = chart.getOption().series[0];
    return data.map((point) => chart.convertToPixel({seriesIndex: 0}, point)[1]);
}"""


def test_each_power_of_ten_is_as_high_as_the_next_on_a_logarithmic_scale(eyes: Eyes, decades: str) -> None:
    page = ready(eyes, f"/studies/{decades}")
    box = page.locator("#history input[data-log]")
    page.locator("#history").scroll_into_view_if_needed()
    expect(page.locator('[data-chart="history"] canvas')).to_have_count(1)

    def steps() -> list[float]:
        heights = sorted(page.evaluate(HEIGHTS))
        assert len(heights) == 8
        return [after - before for before, after in itertools.pairwise(heights)]

    assert min(steps()) < 1 < max(steps())
    box.check()
    assert max(steps()) - min(steps()) < 1 < min(steps())
    eyes.shoot("history-logarithmic")
    box.uncheck()
    assert min(steps()) < 1


def test_the_scale_is_in_the_address_and_kept_by_way_of_trials(eyes: Eyes, decades: str) -> None:
    page = ready(eyes, f"/studies/{decades}")
    for name in ("history", "curves", "slices"):
        page.locator(f'input[data-log="{name}"]').check()
    page.locator("#trial-filter").fill("3")
    page.locator("#trial-table tbody a").click()
    expect(page.locator("#trial[data-ready]")).to_be_attached()
    page.locator('a[rel="next"]').click()
    expect(page.locator("#trial h1")).to_contain_text("Trial 4")
    page.locator('a[rel="prev"]').click()
    expect(page.locator("#trial h1")).to_contain_text("Trial 3")
    page.locator("#to-study").click()
    expect(page.locator("#study[data-ready]")).to_be_attached()
    expect(page.locator("#trial-filter")).to_have_value("3")
    for name in ("history", "curves", "slices"):
        expect(page.locator(f'input[data-log="{name}"]')).to_be_checked()


def test_the_first_trial_has_none_before_it_and_the_last_none_after(eyes: Eyes, decades: str) -> None:
    page = ready(eyes, f"/studies/{decades}/trials/1", "trial")
    expect(page.locator('a[rel="prev"]')).to_have_count(0)
    expect(page.locator('a[rel="next"]')).to_have_text("Trial 2 →")
    page = ready(eyes, f"/studies/{decades}/trials/8", "trial")
    expect(page.locator('a[rel="prev"]')).to_have_text("← Trial 7")
    expect(page.locator('a[rel="next"]')).to_have_count(0)


def test_the_history_shows_another_metric_and_says_what_has_no_logarithm(eyes: Eyes, decades: str) -> None:
    page = ready(eyes, f"/studies/{decades}")
    history, metric = page.locator('[data-chart="history"]'), page.locator("#history-metric")
    metric.select_option("ms")
    expect(history).to_have_attribute("aria-label", "ms of 8 trials")
    metric.select_option("delta")
    page.locator("#history input[data-log]").check()
    expect(history).to_have_attribute("aria-label", "delta of 8 trials; not shown: 4 not above 0")
    metric.select_option("loss")
    expect(history).to_have_attribute("aria-label", "Optimisation history of 8 trials; the best has 1e-8, trial 8")


def test_the_best_stays_the_best_where_it_has_no_logarithm(eyes: Eyes, katib: World, url: str) -> None:
    with katib.client() as client:
        spec = study(
            "below",
            'echo "loss=$((3-x)).5"',
            algorithm="grid",
            parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace("1", "5")),),
            objective_name="loss",
            optimization=Objective.MINIMIZE,
            limits={"max_trials": 5},
        )
        study_id = client.create_study(spec)
        finished(client, study_id, 60)
    page = ready(eyes, f"/studies/{study_id}?log=history")
    expect(page.locator('[data-chart="history"]')).to_have_attribute(
        "aria-label", "Optimisation history of 5 trials; the best has -2.5, trial 5; not shown: 2 not above 0"
    )


def test_a_metric_that_is_never_above_0_says_why_it_is_not_drawn(eyes: Eyes, decades: str) -> None:
    page = ready(eyes, f"/studies/{decades}/trials/2", "trial")
    page.locator('input[data-log="metrics"]').check()
    page.locator("#metrics").scroll_into_view_if_needed()
    expect(page.locator("#metrics > div", has_text="delta")).to_contain_text(
        "No value is above 0, where logarithms begin."
    )
    expect(page.locator("#metrics > div", has_text="loss").locator("canvas")).to_have_count(1)
    eyes.check_access()
    # The curves of a study say how many values they leave out.
    page = ready(eyes, f"/studies/{decades}?log=curves")
    page.locator("#curve-metric").select_option("delta")
    page.locator("#curves").scroll_into_view_if_needed()
    expect(page.locator("#curves-note")).to_contain_text("12 values not above 0 are not shown")


def test_a_narrow_window_has_as_many_parallel_axes_as_have_room_for_their_names(
    eyes: Eyes, katib: World, url: str
) -> None:
    names = [f"parameter_{letter}" for letter in "abcdefghijkl"]
    with katib.client() as client:
        spec = study(
            "many",
            "echo acc=$parameter_a",
            parameters=tuple(ParameterConfig(name, ParameterType.DOUBLE, FeasibleSpace("0", "1")) for name in names),
            limits={"max_trials": 4},
        )
        study_id = client.create_study(spec)
        finished(client, study_id, 60)
    eyes.page.set_viewport_size({"width": 390, "height": 800})
    page = ready(eyes, f"/studies/{study_id}")
    page.locator("#parallel").scroll_into_view_if_needed()
    expect(page.locator("#parallel-note")).to_contain_text("5 of 12 parameters: the first ones")
    eyes.check_width()
    page.set_viewport_size({"width": 1280, "height": 860})
    page = ready(eyes, f"/studies/{study_id}")
    page.locator("#parallel").scroll_into_view_if_needed()
    expect(page.locator("#parallel-note")).not_to_contain_text("of 12 parameters")
