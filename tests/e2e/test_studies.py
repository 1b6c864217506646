"""Whole studies by the real command line against a real katib-local: what a user does and sees."""

import csv
import io
import json
from pathlib import Path

import pytest

from katib.domain.study import StudyReason, StudyState
from katib.domain.trial import TrialReason, TrialState
from tests.e2e.harness import World, finished, study, trials, until

RANDOM = """
name: {name}
objective: {{name: acc, type: maximize}}
algorithm: random
suggestion_parameters: {{Seed: 7}}
max_trials: 5
max_parallel: 2
parameters:
  - {{name: --lr, type: double, min: 0.001, max: 0.1, scale: log}}
  - {{name: --layers, type: int, min: 1, max: 4}}
  - {{name: --opt, type: categorical, list: [sgd, "ad am"]}}
command: [sh, -c, 'echo "$@"; echo epoch=1 acc=0.25; echo acc=0.5', sh]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_a_study_file_becomes_exactly_its_trials_each_with_its_metric(running: World) -> None:
    done = running.cli("create-study", "-f", write(running.folder, RANDOM.format(name="whole")), "--watch")
    assert "is created." in done.stdout
    rows = json.loads(running.cli("list", "trials", "whole", "-o", "json").stdout)
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5]
    assert {row["state"] for row in rows} == {"COMPLETED"}
    assert {row["objective"] for row in rows} == {0.5}
    best = json.loads(running.cli("best", "whole", "-o", "json").stdout)
    assert best["id"] in {row["id"] for row in rows}


def test_what_a_trial_prints_and_gets_is_seen_in_its_log(running: World) -> None:
    running.cli("create-study", "-f", write(running.folder, RANDOM.format(name="logged")), "--watch")
    row = json.loads(running.cli("list", "trials", "logged", "-o", "json").stdout)[0]
    log = running.cli("logs", row["id"]).stdout
    given = json.loads(running.cli("get", "trial", row["id"], "-o", "json").stdout)["parameters"]
    assert log.splitlines()[0] == f"--lr={given['--lr']} --layers={given['--layers']} --opt={given['--opt']}"


@pytest.mark.long
def test_the_same_seed_gives_the_same_parameters(running: World) -> None:
    found = []
    for name in ("seed-a", "seed-b"):
        running.cli("create-study", "-f", write(running.folder, RANDOM.format(name=name)), "--watch")
        rows = csv.DictReader(io.StringIO(running.cli("list", "trials", name, "-o", "csv").stdout))
        found.append([(row["--lr"], row["--layers"], row["--opt"]) for row in rows])
    assert found[0] == found[1]
    assert len({lr for lr, *_ in found[0]}) == 5


@pytest.mark.long
def test_a_grid_is_tried_whole_and_in_order_and_ends_with_its_reason(running: World) -> None:
    text = """
name: grid
objective: {name: acc, type: minimize}
algorithm: grid
max_parallel: 2
parameters:
  - {name: a, type: int, min: 1, max: 3}
  - {name: b, type: categorical, list: [x, y]}
command: [sh, -c, 'echo acc=1', sh]
"""
    running.cli("create", "study", "-f", write(running.folder, text), "--watch")
    rows = list(csv.DictReader(io.StringIO(running.cli("list-trials", "grid", "-o", "csv").stdout)))
    assert [(row["a"], row["b"]) for row in rows] == [(a, b) for a in "123" for b in "xy"]
    (row,) = [s for s in json.loads(running.cli("get", "studies", "-o", "json").stdout) if s["name"] == "grid"]
    assert (row["state"], row["reason"]) == ("COMPLETED", StudyReason.EXHAUSTED)


def test_a_goal_that_is_reached_ends_the_study(running: World) -> None:
    with running.client() as client:
        study_id = client.create_study(study(goal=0.4, limits={"max_trials": 1000}))
        summary = finished(client, study_id)
        assert (summary.state, summary.reason) == (StudyState.COMPLETED, StudyReason.GOAL)
        assert summary.best_objective == 0.5
        assert all(t.state.finished for t in trials(client, study_id))


def test_a_trial_that_never_prints_its_objective_says_what_it_printed(running: World) -> None:
    with running.client() as client:
        study_id = client.create_study(study(script="echo hello; echo accuracy=1", limits={"max_trials": 1}))
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        assert (trial.state, trial.reason) == (TrialState.ERROR, TrialReason.METRICS_UNAVAILABLE)
        assert "accuracy=1" in trial.message


@pytest.mark.long
def test_a_failing_command_is_tried_again_and_then_ends_the_study_failed(running: World) -> None:
    with running.client() as client:
        limits = {"max_trials": 5, "max_parallel": 1, "retry_limit": 1, "max_failed_trials": 1}
        study_id = client.create_study(study(script="echo acc=1; exit 3", limits=limits))
        summary = finished(client, study_id)
        assert (summary.state, summary.reason) == (StudyState.FAILED, StudyReason.MAX_FAILED_TRIALS)
        (trial,) = [t for t in trials(client, study_id) if t.state is TrialState.ERROR]
        assert (trial.attempt, trial.reason) == (2, TrialReason.EXIT_CODE)
        assert "code 3" in trial.message
        assert trial.message.endswith("acc=1")
        (first,) = client.get_trial(trial.id).earlier
        assert (first.number, first.reason, first.objective) == (1, TrialReason.EXIT_CODE, 1.0)
        assert "code 3" in first.message
        assert first.started_at < first.ended_at <= trial.started_at
        shown = running.cli("get-trial", trial.id).stdout
        assert first.run in shown
        assert shown.count("ExitCode: ") == 2


def test_a_trial_is_stopped_and_its_process_is_gone(running: World) -> None:
    with running.client() as client:
        study_id = client.create_study(study(script="echo acc=1; exec sleep 600", limits={"max_trials": 1}))
        trial = until(lambda: next((t for t in trials(client, study_id) if t.objective is not None), None))
        client.stop_trial(trial.id)
        client.stop_trial(trial.id)
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        assert (trial.state, trial.reason, trial.objective) == (TrialState.KILLED, TrialReason.STOPPED_BY_USER, 1.0)


@pytest.mark.long
def test_stopping_a_study_twice_ends_its_trials_once(running: World) -> None:
    running.cli(
        "create-study", "-f", write(running.folder, RANDOM.format(name="stopped").replace("echo acc=0.5", "sleep 600"))
    )
    with running.client() as client:
        study_id = client.list_studies(name="stopped").items[0].id
        until(lambda: client.get_study(study_id).summary.running == 2)
        running.cli("stop-study", "stopped")
        running.cli("stop", "study", study_id[:8])
        summary = finished(client, study_id)
        assert (summary.state, summary.reason) == (StudyState.STOPPED, StudyReason.STOPPED_BY_USER)
        assert {t.state for t in trials(client, study_id)} == {TrialState.KILLED}


def test_a_deleted_study_is_gone_with_its_trials_and_outputs(running: World) -> None:
    with running.client() as client:
        study_id = client.create_study(study(name="deleted", script="echo acc=1; sleep 600"))
        until(lambda: client.get_study(study_id).summary.running == 2)
        running.cli("delete-study", "deleted", "--yes")
        until(lambda: not client.list_studies(name="deleted").items)
        assert running.cli("get", "study", study_id, check=False).returncode != 0
        assert not (running.folder / "data" / "runs" / study_id).is_dir()


@pytest.mark.long
def test_a_paused_study_begins_nothing_until_it_is_resumed_and_a_raised_limit_lets_it_go_on(running: World) -> None:
    gate = running.folder / "gate"
    script = f"until [ -e {gate} ]; do sleep 0.1; done; echo acc=1"
    with running.client() as client:
        study_id = client.create_study(study(name="paused", script=script, limits={"max_trials": 12}))
        until(lambda: client.get_study(study_id).summary.running >= 1)
        running.cli("pause-study", "paused")
        gate.touch()
        until(lambda: client.get_study(study_id).summary.running == 0)
        done = client.get_study(study_id).summary
        assert (done.state, done.finished_trials < 12) == (StudyState.PAUSED, True)
        running.cli("resume-study", "paused")
        assert finished(client, study_id).completed == 12
        running.cli("update-study", "paused", "--max-trials", "14")
        until(lambda: client.get_study(study_id).summary.completed == 14)
        assert finished(client, study_id).reason == StudyReason.MAX_TRIALS


@pytest.mark.long
def test_a_hopeless_trial_is_stopped_early_and_the_study_goes_on(running: World) -> None:
    # Trials 1 to 4 climb; each later one that starts below the others' median would print for minutes.
    script = (
        'if [ "$x" -le 4 ]; then for i in 1 2 3 4 5; do echo acc=0.$i; done; '
        "else for i in $(seq 600); do echo acc=0.01; sleep 0.5; done; fi"
    )
    from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
    from katib.domain.study import Setting

    with running.client() as client:
        study_id = client.create_study(
            study(
                script=script,
                algorithm="grid",
                parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace("1", "5")),),
                early_stopping="medianstopping",
                early_stopping_settings=(Setting("LeastStep", "3"),),
                limits={"max_trials": 5, "max_parallel": 1},
            )
        )
        summary = finished(client, study_id)
        assert (summary.completed, summary.killed) == (4, 1)
        last = trials(client, study_id)[-1]
        assert (last.state, last.reason, last.objective) == (TrialState.KILLED, TrialReason.EARLY_STOPPED, 0.01)


def test_the_services_of_this_machine_are_listed_as_serving(running: World) -> None:
    rows = json.loads(running.cli("list", "algorithms", "-o", "json").stdout)
    assert {row["name"] for row in rows if row["serving"]} >= {"random", "grid", "medianstopping"}


@pytest.mark.long
def test_a_study_that_names_no_algorithm_says_which_it_got_and_why(running: World) -> None:
    text = RANDOM.replace("algorithm: random\n", "").replace("echo acc=0.5", "sleep 1; echo acc=0.5")
    running.cli("create-study", "-f", write(running.folder, text.format(name="open")))

    def message() -> str | None:
        said: str = json.loads(running.cli("get", "study", "open", "-o", "json").stdout)["message"]
        return said if said.startswith("auto") else None

    assert until(message) == "auto uses bayesianoptimization: of 5 trials each is worth a model of all those before"
    running.cli("stop", "study", "open")

    def end() -> str | None:
        shown = json.loads(running.cli("get", "study", "open", "-o", "json").stdout)
        told: str = shown["message"]
        return told if shown["state"] == "STOPPED" else None

    assert until(end) == (
        "stopped by a user; auto uses bayesianoptimization: of 5 trials each is worth a model of all those before"
    )
