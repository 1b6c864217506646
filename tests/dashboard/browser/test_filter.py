"""What the filter of a study's trials finds."""

import re

import pytest
from playwright.sync_api import Page, expect

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from tests.dashboard.browser.conftest import Eyes
from tests.e2e.harness import World, study, trials

pytestmark = pytest.mark.slow

WORDS = ("adam", "sgd momentum", "Adagrad")
RATES = ("0.0001", "0.001", "0.01")
RESULTS = (float("-inf"), float("nan"), 0.5, 4 / 3)


@pytest.fixture(scope="module")
def tried(katib: World, url: str) -> str:
    """A trial for each word and each rate; the first have values that are no numbers."""
    parameters = (
        ParameterConfig("opt", ParameterType.CATEGORICAL, FeasibleSpace(list=WORDS)),
        ParameterConfig("lr", ParameterType.DISCRETE, FeasibleSpace(list=RATES)),
        ParameterConfig("lr<b>", ParameterType.DISCRETE, FeasibleSpace(list=("1",))),
    )
    with katib.client() as client:
        spec = study(
            "tried", algorithm="", command=(), parameters=parameters, limits={"max_trials": 9, "max_parallel": 9}
        )
        study_id = client.create_study(spec)
        given, _ = client.suggest_trials(study_id, 9, algorithm="grid")
        for trial, result in zip(given, RESULTS, strict=False):
            client.complete_trial(study_id, trial.id, result)
    return study_id


def found(page: Page, words: str, count: int) -> None:
    page.locator("#trial-filter").fill(words)
    status = page.locator("#trial-pages .num")
    expect(status).to_have_text(re.compile(rf" of {count}$" if count else "^No trial is like that$"))


def test_words_and_comparisons_are_understood_as_people_write_them(eyes: Eyes, tried: str, katib: World) -> None:
    with katib.client() as client:
        assert len(trials(client, tried)) == 9
    page = eyes.go(f"/studies/{tried}")
    expect(page.locator("#trial-pages .num")).to_have_text("1–9 of 9")
    for words, count in (
        ("lr < 0.001", 3),
        ("lr<=0.001", 6),
        ("lr >= 1e-3 lr < 0.01", 3),
        ('opt="sgd momentum"', 3),
        ("opt = 'sgd momentum' lr=0.01", 1),
        ("opt=Adam", 3),
        ("OPT=adagrad", 3),
        ("opt!=adam", 6),
        ('"sgd momentum"', 3),
        ("momentum", 3),
        ("ada", 6),
        ("acc=-inf", 1),
        ("acc=nan", 1),
        ("acc=1.33333", 1),
        ("acc != NaN", 3),
        ("acc>-inf", 2),
        ("state=completed", 4),
        ("lr<b>=1", 9),
        ("lr<b>>1", 0),
        ('"lr<b>" < 2 momentum', 3),
        ("lr<", 9),
        ("p:lr=0.01 1 2 3 4 5 6 7 8 9", 3),
    ):
        found(page, words, count)
    eyes.check_access()


def test_a_name_or_a_number_that_is_none_is_said_so(eyes: Eyes, tried: str) -> None:
    page = eyes.go(f"/studies/{tried}")
    status = page.locator("#trial-pages .num")
    expect(status).to_have_text("1–9 of 9")
    for words in ("rate<3", "rate < 3"):
        page.locator("#trial-filter").fill(words)
        expect(status).to_have_text("No trial is like that; nothing is called rate")
    page.locator("#trial-filter").fill("acc>high")
    expect(status).to_have_text("No trial is like that; high is no number, as acc is")
    page.locator("#trials").scroll_into_view_if_needed()
    eyes.shoot("filter")
