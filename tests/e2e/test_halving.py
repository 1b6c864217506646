"""Hyperband and ASHA with real programs: a study has exactly the trials of its rungs, whatever is killed meanwhile."""

import time
from collections import Counter

import pytest

from katib.api.client import ManagerClient
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Setting, StudyReason, StudySpec, StudyState
from katib.domain.trial import Trial, TrialState
from tests.e2e.harness import World, finished, study, trials, until

# n trials with r epochs on each rung, for 27 epochs and eta 3.
SWEEP = {
    ("3", "1"): 27,
    ("3", "3"): 9,
    ("3", "9"): 3,
    ("3", "27"): 1,
    ("2", "3"): 12,
    ("2", "9"): 4,
    ("2", "27"): 1,
    ("1", "9"): 6,
    ("1", "27"): 2,
    ("0", "27"): 4,
}
# The script sees x as $x. Every third or so ends badly, but never on a rung of which one may go on.
ACCURACY = "echo acc=$x"
FAILING = "n=${x#??}; n=${n%${n#??????}}; e=${2#epochs=}; [ $e -lt 9 ] && [ $((1$n % 3)) = 0 ] && exit 1; echo acc=$x"


def halving(algorithm: str, script: str = ACCURACY, **changes: object) -> StudySpec:
    return study(
        algorithm,
        script,
        algorithm=algorithm,
        parameters=(
            ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0.1", "1")),
            ParameterConfig("epochs", ParameterType.INT, FeasibleSpace("1", "27")),
        ),
        settings=(Setting("ResourceName", "epochs"), Setting("Seed", "1")),
        **changes,
    )


def tag(trial: Trial, suffix: str) -> str:
    (value,) = [t.value for t in trial.tags if t.name.endswith(f"_{suffix}")]
    return value


def x_of(trial: Trial) -> float:
    return float(trial.parameters[0].value)


def rungs(found: list[Trial]) -> Counter[tuple[str, str]]:
    for trial in found:
        assert trial.parameters[1].value == tag(trial, "r")
    return Counter((tag(t, "s"), tag(t, "r")) for t in found)


def sweep(client: ManagerClient, study_id: str) -> list[Trial]:
    summary = finished(client, study_id, 120)
    assert (summary.state, summary.reason) == (StudyState.COMPLETED, StudyReason.SWEPT)
    found = trials(client, study_id)
    assert [t.number for t in found] == list(range(1, 70))
    assert rungs(found) == SWEEP
    return found


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 5])
def test_a_sweep_has_exactly_its_trials(katib: World, parallel: int) -> None:
    katib.suggestion("hyperband")
    katib.manager()
    with katib.client() as client:
        limits = {"max_trials": None, "max_parallel": parallel}
        found = sweep(client, client.create_study(halving("hyperband", limits=limits)))
    assert {t.state for t in found} == {TrialState.COMPLETED}
    for (s, r), above in {("3", "1"): "3", ("3", "3"): "9", ("2", "3"): "9", ("1", "9"): "27"}.items():
        here, there = ([t for t in found if rungs([t]) == {(s, e): 1}] for e in (r, above))
        best = sorted(map(x_of, here), reverse=True)[: len(there)]
        assert sorted(map(x_of, there), reverse=True) == best


@pytest.mark.slow
def test_trials_that_fail_leave_the_rungs_as_they_are(katib: World) -> None:
    katib.suggestion("hyperband")
    katib.manager()
    with katib.client() as client:
        limits = {"max_trials": None, "max_parallel": 4, "max_failed_trials": 60}
        found = sweep(client, client.create_study(halving("hyperband", FAILING, limits=limits)))
    failed = [t for t in found if t.state is TrialState.ERROR]
    assert 5 <= len(failed) < 30
    gone_on = {tag(t, "BracketID") for t in found if tag(t, "shi") != "1"}
    assert not gone_on & {tag(t, "BracketID") for t in failed if tag(t, "shi") == "1"}


@pytest.mark.slow
def test_a_service_that_is_killed_again_and_again_changes_nothing(katib: World) -> None:
    """One at a time, so that the study is the same as undisturbed: there the order in which trials end counts."""
    service = katib.suggestion("hyperband")
    katib.manager()
    with katib.client() as client:
        limits = {"max_trials": None, "max_parallel": 1}
        undisturbed = sweep(client, client.create_study(halving("hyperband", limits=limits)))
        study_id = client.create_study(halving("hyperband", limits=limits))
        for done in (5, 30, 45, 60):
            until(lambda done=done: client.get_study(study_id).summary.completed >= done)  # type: ignore[misc]
            service.kill()
            time.sleep(0.2)
            service = katib.suggestion("hyperband")
        disturbed = sweep(client, study_id)
    assert [t.parameters for t in disturbed] == [t.parameters for t in undisturbed]
    assert [t.tags for t in disturbed] == [t.tags for t in undisturbed]


@pytest.mark.slow
def test_a_manager_that_is_killed_in_the_middle_changes_no_rung(katib: World) -> None:
    katib.suggestion("hyperband")
    manager = katib.manager()
    with katib.client() as client:
        limits = {"max_trials": None, "max_parallel": 3}
        study_id = client.create_study(halving("hyperband", limits=limits))
        until(lambda: client.get_study(study_id).summary.completed >= 20)
    for _ in range(3):
        manager.kill()
        manager = katib.manager()
        time.sleep(0.5)
    with katib.client() as client:
        sweep(client, study_id)


@pytest.mark.slow
def test_asha_fills_the_rungs_from_below_until_the_study_ends(katib: World) -> None:
    katib.suggestion("asha")
    katib.manager()
    with katib.client() as client:
        study_id = client.create_study(halving("asha", limits={"max_trials": 40, "max_parallel": 4}))
        summary = finished(client, study_id, 120)
        found = trials(client, study_id)
    assert (summary.state, summary.reason, len(found)) == (StudyState.COMPLETED, StudyReason.MAX_TRIALS, 40)
    counts = rungs(found)
    assert counts["0", "1"] > counts["0", "3"] > counts["0", "9"] >= 1
