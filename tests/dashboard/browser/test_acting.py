"""What a user does on the pages, from a new study to its deletion."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from katib.domain.study import Limits
from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, study, trials, until

pytestmark = pytest.mark.slow

FILE = """name: made-by-hand
objective: {name: acc, type: maximize}
algorithm: random
max_trials: 50
max_parallel: 1
parameters:
  - {name: x, type: double, min: 0, max: -1}
command: [/bin/sh, -c, "echo acc=0.5; sleep 1"]
"""


def test_a_study_is_created_paused_resumed_extended_stopped_and_deleted(eyes: Eyes) -> None:
    page = eyes.go("/")
    page.get_by_role("link", name="New study").first.click()
    page.get_by_role("link", name="Grid search").click()
    expect(page.locator("#study-file")).to_have_value(re.compile("algorithm: grid"))
    expect(page.locator("#verdict")).to_have_text("The file is well formed.")
    page.locator("#study-file").fill(FILE)
    problem = page.locator("#problems button")
    expect(problem).to_contain_text("Line 7")
    eyes.check_access()
    eyes.shoot("create-problem")
    problem.click()
    assert page.evaluate("getSelection().toString() || document.activeElement.id") is not None
    # Also by the button, and the page says the same.
    eyes.expected.append("400")
    page.get_by_role("button", name="Create the study").click()
    expect(problem).to_contain_text("Line 7")
    page.locator("#study-file").fill(FILE.replace("-1", "1"))
    expect(page.locator("#verdict")).to_have_text("The file is well formed.")
    page.get_by_role("button", name="Create the study").click()
    page.wait_for_url("**/studies/*")
    expect(page.locator("h1")).to_have_text("made-by-hand")
    state = page.locator(".meta .state")

    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("Running")

    page.get_by_role("button", name="Limits").click()
    dialog = page.locator("#limits-dialog")
    expect(dialog).to_be_visible()
    eyes.check_access()
    dialog.get_by_label("Trials in all").fill("many")
    dialog.get_by_role("button", name="Change the limits").click()
    expect(dialog.locator(".trouble")).to_contain_text("max_trials: many: expected a whole number")
    eyes.shoot("limits")
    dialog.get_by_label("Trials in all").fill("60")
    dialog.get_by_role("button", name="Change the limits").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".tiles")).to_contain_text("of 60")

    page.get_by_role("button", name="Stop").click()
    stop = page.locator("#stop-dialog")
    eyes.check_access()
    stop.get_by_role("button", name="Keep it running").click()
    expect(stop).to_be_hidden()
    expect(state).to_have_text("Running")
    page.get_by_role("button", name="Stop").click()
    stop.get_by_role("button", name="Stop the study").click()
    expect(state).to_have_text("Stopped")

    page.get_by_role("link", name="Clone").click()
    expect(page.locator("#study-file")).to_have_value(re.compile("name: made-by-hand"))
    page.go_back()
    page.get_by_role("button", name="Delete").click()
    eyes.check_access()
    page.locator("#delete-dialog").get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Delete").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    page.locator("#delete-dialog").get_by_role("button", name="Delete the study").click()
    page.wait_for_url(lambda address: address.endswith("/"))
    gone = next(i for i, request in enumerate(asked) if request.startswith("POST") and request.endswith("/delete"))
    assert not [request for request in asked[gone:] if "/changes" in request], "it is not looked at any more"
    expect(page.get_by_text("made-by-hand")).to_have_count(0)


def test_a_trial_is_stopped_on_its_page(eyes: Eyes, katib: World) -> None:
    with katib.client() as client:
        study_id = client.create_study(
            study("slow", "echo acc=1; sleep 60", limits={"max_trials": 5, "max_parallel": 1})
        )
        (trial,) = until(lambda: [t for t in trials(client, study_id) if t.started_at][:1])
        page = eyes.go(f"/trials/{trial.id}")
        page.get_by_role("button", name="Stop the trial").click()
        page.get_by_role("button", name="Stop this trial").click()
        expect(page.locator(".meta .state")).to_have_text("Killed")
        expect(page.locator(".reason")).to_contain_text("StoppedByUser")
        client.delete_study(study_id)


@pytest.fixture
def running(katib: World, url: str, tmp_path: Path) -> Iterator[str]:
    """A study with two trials that have finished and two that run."""
    with katib.client() as client:
        script = f"mkdir {tmp_path}/one || mkdir {tmp_path}/two || sleep 60; echo acc=$x"
        study_id = client.create_study(study("limited", script, limits={"max_trials": 300}))
        until(lambda: (s := client.get_study(study_id).summary).finished_trials == 2 and s.running == 2)
        yield study_id
        client.stop_study(study_id)


def test_a_limit_that_would_end_trials_is_asked_about_first(eyes: Eyes, running: str) -> None:
    page = eyes.go(f"/studies/{running}")
    state = page.locator(".meta .state")
    page.get_by_role("button", name="Limits").click()
    dialog = page.locator("#limits-dialog")
    dialog.get_by_label("Trials in all").fill("2")
    dialog.get_by_role("button", name="Change the limits").click()
    expect(dialog.locator(".trouble")).to_have_text(
        "Trials in all: 2 is reached already, with 2 trials finished. "
        "The study would end, and with it what still runs, 2 trials."
    )
    eyes.check_access()
    eyes.shoot("limits-cost")
    # Who writes something else has not agreed to that.
    dialog.get_by_label("Trials in all").fill("1")
    dialog.get_by_role("button", name="Change the limits").click()
    expect(dialog.locator(".trouble")).to_contain_text("1 is reached already")
    dialog.get_by_role("button", name="Leave them").click()
    expect(state).to_have_text("Running")
    page.get_by_role("button", name="Limits").click()
    expect(dialog.get_by_label("Trials in all")).to_have_value("300")
    expect(dialog.locator(".trouble")).to_have_text("")
    dialog.get_by_label("Trials in all").fill("2")
    dialog.get_by_role("button", name="Change the limits").click()
    dialog.get_by_role("button", name="Do it all the same").click()
    expect(dialog).to_be_hidden()
    expect(state).to_have_text("Completed")


def test_a_limit_cannot_be_emptied_and_one_that_others_change_is_shown(eyes: Eyes, katib: World, running: str) -> None:
    eyes.expected.append("400")
    page = eyes.go(f"/studies/{running}")
    page.get_by_role("button", name="Limits").click()
    dialog = page.locator("#limits-dialog")
    dialog.get_by_label("Trials in all").fill("")
    dialog.get_by_role("button", name="Change the limits").click()
    expect(dialog.locator(".trouble")).to_contain_text(
        "max_trials: expected a value: a limit can be changed, not taken away"
    )
    dialog.get_by_role("button", name="Leave them").click()
    with katib.client() as client:
        client.update_study(running, Limits(max_trials=123))
    expect(page.locator(".tiles")).to_contain_text("of 123")
    page.get_by_role("button", name="Limits").click()
    expect(dialog.get_by_label("Trials in all")).to_have_value("123")


def test_the_focus_goes_to_the_button_that_stands_for_the_one_that_was_pressed(eyes: Eyes, katib: World) -> None:
    with katib.client() as client:
        study_id = client.create_study(
            study("pressed", "echo acc=1; sleep 60", limits={"max_trials": 5, "max_parallel": 1})
        )
        page = eyes.go(f"/studies/{study_id}")
        expect(page.locator("#study[data-ready]")).to_be_attached()
        page.locator("#act-pause").focus()
        for pressed, state in (("resume", "Paused"), ("pause", "Running")):
            page.keyboard.press("Enter")
            expect(page.locator(".meta .state")).to_have_text(state)
            expect(page.locator(f"#act-{pressed}")).to_be_focused()
        client.delete_study(study_id)
