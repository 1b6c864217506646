"""Pages of what is too much for one answer."""

from datetime import UTC, datetime

from playwright.sync_api import expect

from katib.domain.metrics import Observation
from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, study


def test_a_study_of_more_trials_than_one_answer_has_them_all(eyes: Eyes, katib: World) -> None:
    with katib.client() as client:
        spec = study("many", algorithm="", command=(), limits={"max_trials": 2600, "max_parallel": 2600})
        study_id = client.create_study(spec)
        for _ in range(4):
            client.suggest_trials(study_id, 650, algorithm="random")
    page = eyes.go(f"/studies/{study_id}")
    expect(page.locator("#trial-pages")).to_contain_text("of 2600")
    expect(page.locator("#study")).to_have_attribute("data-ready", "1")


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
