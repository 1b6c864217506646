"""What the pages answer to requests that no page of theirs sends: the caller's fault, and never a defect's 500."""

import csv
import io
import re

import pytest
from starlette.testclient import TestClient

from tests.e2e.harness import World, finished, study

TOKEN = "a" * 48


def _post(pages: TestClient, path: str, body: str, **headers: str) -> int:
    pages.cookies.set("katib_token", TOKEN)
    usual = {"x-katib-token": TOKEN, "sec-fetch-site": "same-origin", "content-type": "application/json"}
    return pages.post(path, content=body, headers={**usual, **headers}).status_code


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"file": "\\ud800"}',
        '{"file": 1}',
        "nul",
        '{"max_trials": "99999999999"}',
        '{"max_trials": "1e3"}',
    ],
)
@pytest.mark.parametrize("path", ["/api/studies", "/api/studies/a123456789abcdef/update"])
def test_a_body_that_makes_no_sense_is_refused(pages: TestClient, path: str, body: str) -> None:
    assert _post(pages, path, body) in (400, 404)


def test_a_count_that_no_field_holds_is_refused_by_name(pages: TestClient, ended: str) -> None:
    assert _post(pages, f"/api/studies/{ended}/update", f'{{"max_trials": "{"9" * 5000}"}}') == 400


def test_a_request_id_of_half_a_character_is_refused(pages: TestClient) -> None:
    file = "name: x\\nobjective: {metric: a, goal: maximize}\\nparameters: {x: {type: int, min: 1, max: 2}}\\n"
    assert _post(pages, "/api/studies", f'{{"file": "{file}", "request_id": "\\ud800"}}') == 400


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "null", "http://localhost]"])
def test_an_origin_that_is_no_address_is_another_site(pages: TestClient, origin: str) -> None:
    pages.cookies.set("katib_token", TOKEN)
    answer = pages.post("/api/studies/x/stop", headers={"x-katib-token": TOKEN, "origin": origin})
    assert answer.status_code == 403


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 30, "-1", "x", "٣", "0"])
def test_a_trial_of_a_number_that_none_has_is_not_there(pages: TestClient, ended: str, number: str) -> None:
    assert pages.get(f"/studies/{ended}/trials/{number}").status_code == 404


@pytest.mark.long
@pytest.mark.parametrize(
    "words", ["attempt=9999999999", "offset=9999999999999999999", "attempt=x", "offset=--1", "attempt=-"]
)
def test_a_log_of_numbers_that_no_field_holds_is_refused(pages: TestClient, ended: str, words: str) -> None:
    trial = re.search(r"/studies/\w+/trials/1\?id=(\w+)", pages.get(f"/studies/{ended}").text)
    found = trial[1] if trial else "a123456789abcdef"
    assert pages.get(f"/api/trials/{found}/log?{words}").status_code in (400, 404)


def test_a_metrics_name_in_the_header_of_a_csv_is_no_formula(pages: TestClient, katib: World) -> None:
    with katib.client() as client:
        spec = study("formula", "echo '@SUM(1+1)=1'", limits={"max_trials": 1}, objective_name="@SUM(1+1)")
        study_id = client.create_study(spec)
        finished(client, study_id)
    header = next(csv.reader(io.StringIO(pages.get(f"/studies/{study_id}/trials.csv").text)))
    assert "'@SUM(1+1)" in header
