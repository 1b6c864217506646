"""Pages of what is too much for one answer."""

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Route, expect

from katib.domain.metrics import Observation
from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, study, until

pytestmark = pytest.mark.long


def test_a_study_of_more_trials_than_one_answer_has_them_all(eyes: Eyes, katib: World) -> None:
    with katib.client() as client:
        spec = study("many", algorithm="", command=(), limits={"max_trials": 2600, "max_parallel": 2600})
        study_id = client.create_study(spec)
        for _ in range(4):
            client.suggest_trials(study_id, 650, algorithm="random")
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("#trial-pages")).to_contain_text("of 2600")
    expect(page.locator("#study")).to_have_attribute("data-ready", "1")


def test_the_newest_trials_are_there_before_the_others_and_no_column_moves_when_these_come(
    eyes: Eyes, katib: World
) -> None:
    with katib.client() as client:
        spec = study("sixty", algorithm="", command=(), limits={"max_trials": 60, "max_parallel": 60})
        study_id = client.create_study(spec)
        given, _ = client.suggest_trials(study_id, 60, algorithm="random")
        for trial in given:
            client.complete_trial(study_id, trial.id, 1 / trial.number)
    held: list[Route] = []
    eyes.page.route("**/changes?after=0", lambda route: held.append(route))
    page = eyes.go(f"/studies/{study_id}")
    numbers, heads = page.locator("#trial-table tbody th"), page.locator("#trial-table thead th")
    status = page.locator("#trial-pages .num")
    expect(numbers).to_have_text([str(number) for number in range(60, 35, -1)])
    expect(status).to_have_text("1–25 of 25; others are being loaded")
    # Nobody knows yet which one is the best of all, and none is said to be.
    expect(page.locator("#trial-table .star")).to_have_count(0)
    history = page.locator("[data-chart=history]")
    expect(history).to_have_attribute("aria-label", "Optimisation history of the newest 25 trials")
    expect(page.locator("#history-note")).to_contain_text("the newest 25; the others are being loaded")
    until(lambda: bool(held) or page.wait_for_timeout(50))
    before = heads.evaluate_all("all => all.map(head => head.getBoundingClientRect().x)")
    # The page's head began to fetch them, before any script ran; the script takes these and asks for no others.
    assert len(held) == 1
    held[0].continue_()
    expect(status).to_have_text("1–25 of 60")
    assert heads.evaluate_all("all => all.map(head => head.getBoundingClientRect().x)") == before
    expect(history).to_have_attribute("aria-label", "Optimisation history of 60 trials; the best has 1, trial 1")
    expect(page.locator("#history-note")).not_to_contain_text("newest")
    expect(page.locator("#study")).to_have_attribute("data-ready", "1")
    assert len(held) == 1


def test_the_newest_trials_are_sorted_while_the_others_are_on_their_way(eyes: Eyes, katib: World) -> None:
    with katib.client() as client:
        spec = study("thirty", algorithm="", command=(), limits={"max_trials": 30, "max_parallel": 30})
        study_id = client.create_study(spec)
        given, _ = client.suggest_trials(study_id, 30, algorithm="random")
        for trial in given:
            client.complete_trial(study_id, trial.id, float(trial.number % 29))
    held: list[Route] = []
    eyes.page.route("**/changes?after=0", lambda route: held.append(route))
    page = eyes.go(f"/studies/{study_id}")
    first = page.locator("#trial-table tbody th").first
    expect(first).to_have_text("30")
    page.locator("#trial-table thead button", has_text="acc").click()
    expect(first).to_have_text("28")
    page.locator("#trial-table thead button", has_text="acc").click()
    expect(first).to_have_text("29")
    until(lambda: bool(held) or page.wait_for_timeout(50))
    held[0].continue_()
    # In the order that the reader has chosen.
    expect(page.locator("#trial-pages .num")).to_have_text("1–25 of 30")
    expect(first).to_have_text("29")


def test_a_trial_of_more_values_than_one_answer_says_what_is_left_out(eyes: Eyes, katib: World) -> None:
    with katib.client() as client:
        spec = study("long", algorithm="", command=(), limits={"max_trials": 1, "max_parallel": 1})
        study_id = client.create_study(spec)
        (trial,), _ = client.suggest_trials(study_id, 1, algorithm="random")
        now = datetime.now(UTC)
        values = [Observation("acc", float(n), now, 1, "", n, step=n) for n in range(1, 12_001)]
        for begin in range(0, len(values), 4000):
            client.report_metrics(trial.id, values[begin : begin + 4000], reporter="test")
    eyes.expected = ["409"]  # its client has the log
    page = eyes.go(f"/studies/{study_id}/trials/1")
    expect(page.locator("#metrics")).to_contain_text("latest 12000")
    expect(page.locator("#metrics-cut")).to_be_visible()
    page = eyes.go(f"/studies/{study_id}")
    page.locator("#curves").scroll_into_view_if_needed()
    expect(page.locator("#curves-note")).to_contain_text("1 with more than 10,000 values")


def test_the_time_of_the_latest_trials_begins_with_the_first_of_them(eyes: Eyes, katib: World) -> None:
    with katib.client() as client:
        spec = study("waves", algorithm="", command=(), limits={"max_trials": 1300, "max_parallel": 650})
        study_id = client.create_study(spec)
        for _ in range(2):
            given, _ = client.suggest_trials(study_id, 650, algorithm="random")
            for trial in given:
                client.complete_trial(study_id, trial.id, 1.0)
    page = eyes.go(f"/studies/{study_id}")
    chart = page.locator('[data-chart="timeline"]')
    chart.scroll_into_view_if_needed()
    expect(chart).to_have_attribute("aria-label", re.compile(r"^600 trials over time, from \S+ on, "))
    expect(page.locator("#timeline-note")).to_contain_text("the latest 600 of 1,300 trials")
    eyes.shoot("timeline")
