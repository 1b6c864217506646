"""Which trial is the best, everywhere the same, and what drawings leave out of many."""

import re
from collections.abc import Mapping, Sequence

import pytest
from playwright.sync_api import expect

from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Objective
from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, study

pytestmark = pytest.mark.slow


def reported(
    katib: World,
    name: str,
    values: Sequence[float],
    *,
    order: Sequence[int] = (),
    direction: Objective = Objective.MAXIMIZE,
    parameters: Sequence[ParameterConfig] = (ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),),
) -> tuple[str, Mapping[int, Sequence[Parameter]]]:
    """A study whose trials were completed with these values, in the order of these numbers; and their parameters."""
    with katib.client() as client:
        spec = study(
            name,
            algorithm="",
            command=(),
            optimization=direction,
            parameters=tuple(parameters),
            limits={"max_trials": len(values) + 1},
        )
        study_id = client.create_study(spec)
        given = []
        while len(given) < len(values):
            given += client.suggest_trials(study_id, min(600, len(values) - len(given)), algorithm="random")[0]
        by_number = {trial.number: trial for trial in given}
        for number in order or sorted(by_number):
            client.complete_trial(study_id, by_number[number].id, values[number - 1])
        return study_id, {number: trial.parameters for number, trial in by_number.items()}


def starred(eyes: Eyes, study_id: str, number: int) -> None:
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("#study[data-ready]")).to_be_attached()
    expect(page.locator(".tiles .sub a")).to_have_text(f"Trial {number}")
    expect(page.locator("#trial-table tr:has(.star) a")).to_have_text(str(number))


def test_of_trials_alike_the_one_that_was_there_first_is_the_best(eyes: Eyes, katib: World) -> None:
    study_id, _ = reported(katib, "tie", [0.5, 0.5], order=[2, 1])
    starred(eyes, study_id, 2)


def test_the_best_is_known_where_trials_differ_in_the_ninth_digit(eyes: Eyes, katib: World) -> None:
    study_id, _ = reported(katib, "late", [0.9991234 + i * 1e-9 for i in (3, 1, 7, 2)])
    starred(eyes, study_id, 3)
    eyes.page.get_by_role("button", name="acc").click()
    expect(eyes.page.locator("#trial-table tbody th a")).to_have_text(["3", "1", "4", "2"])


def test_numbers_of_seven_digits_are_shown_with_all_of_them(eyes: Eyes, katib: World) -> None:
    seeds = (ParameterConfig("seed", ParameterType.INT, FeasibleSpace("1483721291", "1483721292")),)
    values = [1234567.0, 1234565.0]
    study_id, given = reported(katib, "millions", values, direction=Objective.MINIMIZE, parameters=seeds)
    starred(eyes, study_id, 2)
    cells = eyes.page.locator("#trial-table tbody tr")
    expect(cells.nth(0)).to_contain_text("1234565")
    expect(cells.nth(1)).to_contain_text("1234567")
    expect(cells.nth(0)).to_contain_text(given[2][0].value)
    expect(eyes.page.locator(".tiles")).to_contain_text("1234565")


def test_the_history_shows_the_best_however_far_it_is_from_the_others_and_says_what_it_does_not_show(
    eyes: Eyes, katib: World
) -> None:
    values = [0.1 + i % 5 / 1000 for i in range(40)]
    study_id, _ = reported(katib, "far", [*values, 0.93, -40.0])
    starred_label = eyes.go(f"/studies/{study_id}").locator("[data-chart=history]")
    expect(starred_label).to_have_attribute(
        "aria-label",
        "Optimisation history of 42 trials; the best has 0.93, trial 41; not shown: 1 beyond the lower end",
    )
    eyes.shoot("history-far")


def test_an_infinite_objective_is_the_best_and_is_said_not_to_be_drawn(eyes: Eyes, katib: World) -> None:
    study_id, _ = reported(katib, "endless", [3.0, float("-inf"), 1.0], direction=Objective.MINIMIZE)
    starred(eyes, study_id, 2)
    expect(eyes.page.locator("[data-chart=history]")).to_have_attribute(
        "aria-label", re.compile("not shown: 1 infinite$")
    )


def test_what_the_history_cannot_draw_can_be_read_below_its_title(eyes: Eyes, katib: World) -> None:
    study_id, _ = reported(katib, "unseen", [0.5, float("nan"), float("inf"), 0.7])
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("#history-missing")).to_have_text("Not shown: 1 infinite, 1 nan.")
    expect(page.locator("#history-missing")).to_be_visible()
    expect(page.locator("[data-chart=history]")).to_have_attribute(
        "aria-label", re.compile("the best has inf, trial 3;")
    )
    nothing, _ = reported(katib, "nan", [float("nan")] * 2)
    eyes.go(f"/studies/{nothing}")
    expect(page.locator("[data-chart=history]")).to_have_text("No value of acc can be drawn: 2 nan.")


def test_drawings_that_have_no_room_for_all_trials_have_the_best_one_and_say_so(eyes: Eyes, katib: World) -> None:
    values = [0.001 * (i % 700) for i in range(2100)]
    values[9] = 0.99
    study_id, _ = reported(katib, "2100", values)
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("#study[data-ready]")).to_be_attached()
    page.locator("#parallel").scroll_into_view_if_needed()
    expect(page.locator("#parallel-note")).to_contain_text("The best and the latest 1,499 of 2,100 completed trials.")
    page.locator("#slices").scroll_into_view_if_needed()
    expect(page.locator("#slices-note")).to_have_text("The best and the latest 1,999 of 2,100 completed trials.")


def test_of_forty_parameters_those_that_matter_most_are_drawn(eyes: Eyes, katib: World) -> None:
    wide = [ParameterConfig(f"p{i:02}", ParameterType.DOUBLE, FeasibleSpace("0", "1")) for i in range(40)]
    with katib.client() as client:
        spec = study("wide", algorithm="", command=(), parameters=tuple(wide), limits={"max_trials": 81})
        study_id = client.create_study(spec)
        for trial in client.suggest_trials(study_id, 80, algorithm="random")[0]:
            value = next(float(p.value) for p in trial.parameters if p.name == "p37")
            client.complete_trial(study_id, trial.id, value)
    page = eyes.go(f"/studies/{study_id}")
    page.locator("#parallel").scroll_into_view_if_needed()
    expect(page.locator("#parallel-note")).to_contain_text("12 of 40 parameters: those that matter most.")
    page.locator("#slices").scroll_into_view_if_needed()
    expect(page.locator("#slices-note")).to_have_text("24 of 40 parameters: those that matter most.")
    expect(page.get_by_label("acc over p37", exact=True)).to_be_attached()
    eyes.check_access()
