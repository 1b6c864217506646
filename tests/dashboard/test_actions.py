"""What a page can do, and who else cannot."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from katib.dashboard.create import EXAMPLES, example_text
from katib.dashboard.importance import LEAST
from katib.domain.study import StudyState
from katib.domain.study_file import parse_study
from tests.e2e.harness import World, study, trials, until

FILE = """name: from-a-page
objective: {name: acc, type: maximize}
algorithm: random
max_trials: 2
parameters:
  - {name: x, type: double, min: 0, max: 1}
command: [/bin/sh, -c, "echo acc=0.5"]
"""


@pytest.fixture
def token(pages: TestClient) -> str:
    pages.get("/create")
    return pages.cookies["katib_token"]


@pytest.fixture
def headers(token: str) -> Mapping[str, str]:
    """As a page of ours sends them."""
    return {"x-katib-token": token, "origin": "http://localhost", "sec-fetch-site": "same-origin"}


@pytest.fixture
def slow(katib: World) -> Iterator[str]:
    """A study whose trials run until they are ended."""
    with katib.client() as client:
        study_id = client.create_study(
            study("slow", "echo acc=1; sleep 60", limits={"max_trials": 5, "max_parallel": 1})
        )
        yield study_id
        client.delete_study(study_id)


def state(katib: World, study_id: str) -> StudyState:
    with katib.client() as client:
        return client.get_study(study_id).summary.state


class TestCreate:
    @pytest.mark.long
    def test_a_file_becomes_a_study_once(self, pages: TestClient, headers: Mapping[str, str]) -> None:
        body = {"file": FILE, "request_id": "test-once"}
        first = pages.post("/api/studies", json=body, headers=headers)
        again = pages.post("/api/studies", json=body, headers=headers)
        assert first.status_code == 200
        assert first.json()["id"] == again.json()["id"]

    def test_each_problem_has_its_line(self, pages: TestClient, headers: Mapping[str, str]) -> None:
        file = FILE.replace("max: 1", "max: -1").replace("maximize", "best")
        for path in ("/api/studies/check", "/api/studies"):
            problems = pages.post(path, json={"file": file}, headers=headers).json()["problems"]
            assert 2 in [problem["line"] for problem in problems]
        file = FILE.replace("max: 1", "max: -1")
        (problem,) = pages.post("/api/studies/check", json={"file": file}, headers=headers).json()["problems"]
        assert problem["line"] == 6

    @pytest.mark.long
    def test_what_only_the_manager_knows_has_its_line_too(self, pages: TestClient, headers: Mapping[str, str]) -> None:
        answer = pages.post("/api/studies", json={"file": FILE.replace("random", "nowhere")}, headers=headers)
        assert answer.status_code == 400
        assert [problem["line"] for problem in answer.json()["problems"]] == [3]

    def test_a_relative_working_directory_is_refused(self, pages: TestClient, headers: Mapping[str, str]) -> None:
        file = f"{FILE}working_dir: code\n"
        (problem,) = pages.post("/api/studies/check", json={"file": file}, headers=headers).json()["problems"]
        assert problem["line"] == 8
        assert "path from / on" in problem["expected"]

    @pytest.mark.parametrize("body", [b"[]", b"{", b'{"file": 3}', b"x" * 5_000_000])
    def test_what_is_no_study_is_refused(self, pages: TestClient, headers: Mapping[str, str], body: bytes) -> None:
        assert pages.post("/api/studies", content=body, headers=headers).status_code == 400

    def test_every_example_is_a_study_and_has_a_page(self, pages: TestClient) -> None:
        for name in EXAMPLES:
            assert parse_study(example_text(name)).warnings == ()
            assert pages.get("/create", params={"example": name}).status_code == 200
        folder = Path(__file__).parents[2] / "katib/dashboard/examples"
        assert {path.stem for path in folder.iterdir()} == set(EXAMPLES)
        assert pages.get("/create", params={"example": "../app"}).status_code == 404

    def test_a_clone_begins_with_the_file_of_the_other(self, pages: TestClient, ended: str) -> None:
        text = pages.get("/create", params={"from": ended}).text
        assert "objective" in text
        assert ended in text


class TestActing:
    def test_a_study_pauses_goes_on_gets_other_limits_and_stops(
        self, pages: TestClient, headers: Mapping[str, str], slow: str, katib: World
    ) -> None:
        def act(name: str, **body: str) -> httpx2.Response:
            return pages.post(f"/api/studies/{slow}/{name}", json=body, headers=headers)

        assert act("pause").status_code == 200
        assert state(katib, slow) is StudyState.PAUSED
        assert act("resume").status_code == 200
        assert state(katib, slow) is StudyState.RUNNING
        assert act("update", max_trials="9", trial_timeout="2m").status_code == 200
        with katib.client() as client:
            limits = client.get_study(slow).spec.limits
            assert (limits.max_trials, limits.max_parallel) == (9, 1)
        assert act("stop").status_code == 200
        until(lambda: state(katib, slow) is StudyState.STOPPED)

    @pytest.mark.parametrize(
        ("count", "time", "goal"),
        [("many", "soon", "high"), ("1_000", "1_0s", "1e400"), ("١٢", "١٢", "inf"), ("1.5", "-1s", "nan")],
    )
    def test_limits_that_are_none_are_named(
        self, pages: TestClient, headers: Mapping[str, str], slow: str, count: str, time: str, goal: str
    ) -> None:
        body = {"max_trials": count, "trial_timeout": time, "optimization_goal": goal}
        answer = pages.post(f"/api/studies/{slow}/update", json=body, headers=headers)
        assert answer.status_code == 400
        assert {problem["field"] for problem in answer.json()["problems"]} == set(body)

    def test_a_trial_is_stopped(self, pages: TestClient, headers: Mapping[str, str], slow: str, katib: World) -> None:
        with katib.client() as client:
            (trial,) = until(lambda: [t for t in trials(client, slow) if t.run and t.started_at][:1])
            assert pages.post(f"/api/trials/{trial.id}/stop", headers=headers).status_code == 200
            until(lambda: client.get_trial(trial.id).trial.state.finished)

    def test_a_study_is_deleted(self, pages: TestClient, headers: Mapping[str, str], katib: World) -> None:
        with katib.client() as client:
            study_id = client.create_study(study("short"))
        assert pages.post(f"/api/studies/{study_id}/delete", headers=headers).status_code == 200
        until(lambda: pages.get(f"/studies/{study_id}").status_code == 404)


class TestOtherSites:
    def refused(self, pages: TestClient, headers: Mapping[str, str], slow: str, katib: World) -> None:
        answer = pages.post(f"/api/studies/{slow}/stop", headers=headers)
        assert answer.status_code == 403
        assert "nothing was done" in answer.json()["error"]
        assert state(katib, slow) is StudyState.RUNNING

    def test_an_action_without_the_token_is_refused(
        self, pages: TestClient, token: str, slow: str, katib: World
    ) -> None:
        for headers in (
            {},
            {"sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "same-origin", "x-katib-token": "0" * 48},
        ):
            self.refused(pages, headers, slow, katib)

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
    def test_an_action_of_another_site_is_refused(
        self, pages: TestClient, token: str, slow: str, katib: World, site: str
    ) -> None:
        self.refused(pages, {"x-katib-token": token, "sec-fetch-site": site, "origin": "http://localhost"}, slow, katib)

    def test_where_a_browser_says_nothing_of_sites_the_origin_must_be_this_host(
        self, pages: TestClient, token: str, slow: str, katib: World
    ) -> None:
        for origin in ("http://evil.example", "null", "http://localhost.evil.example", "http://localhost:1"):
            self.refused(pages, {"x-katib-token": token, "origin": origin}, slow, katib)
        self.refused(pages, {"x-katib-token": token}, slow, katib)
        answer = pages.post(
            f"/api/studies/{slow}/pause", headers={"x-katib-token": token, "origin": "http://localhost"}
        )
        assert answer.status_code == 200

    def test_the_cookie_is_of_no_use_to_scripts_and_other_sites(self, pages: TestClient) -> None:
        cookie = pages.get("/").headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie

    def test_no_action_is_a_get(self, pages: TestClient, slow: str, katib: World) -> None:
        assert pages.get(f"/api/studies/{slow}/stop").status_code == 405
        assert state(katib, slow) is StudyState.RUNNING


def test_importance_says_how_many_trials_it_needs(pages: TestClient, ended: str) -> None:
    answer = pages.get(f"/api/studies/{ended}/importance").json()
    assert answer["trials"] == 4
    assert answer["least"] == LEAST
    assert answer["shares"] == []


def test_the_other_metrics_of_finished_trials_come_by_number(pages: TestClient, ended: str) -> None:
    answer = until(
        lambda: (found := pages.get(f"/api/studies/{ended}/metrics").json()) and len(found["values"]) == 4 and found
    )
    assert answer == {"names": ["loss"], "values": {str(n): [2.0] for n in range(1, 5)}}


def test_a_study_of_which_no_trial_has_ended_has_no_values_of_other_metrics(pages: TestClient, katib: World) -> None:
    with katib.client() as client:
        study_id = client.create_study(study("waits", algorithm="", command=(), metrics=("loss",)))
    assert pages.get(f"/api/studies/{study_id}/metrics").json() == {"names": ["loss"], "values": {}}
