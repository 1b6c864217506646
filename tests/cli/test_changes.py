"""The commands that change studies and trials: what they ask of the manager, and what they say has come of it."""

import io

import pytest

from katib.api import api_pb2 as pb
from katib.cli import changes
from katib.domain.errors import ResourceExhaustedError, UnavailableError
from katib.domain.study import StudyState
from katib.domain.trial import TrialState
from katib.domain.views import StudyDetail
from tests.cli.conftest import Cli
from tests.cli.scripted import ScriptedManager, study, trial

A = "a" + "0" * 15


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_several_studies_are_stopped_and_one_that_is_not_there_keeps_none_from_it(
    cli: Cli, manager: ScriptedManager
) -> None:
    manager.add(study("abcd" + "0" * 12, name="one"))
    manager.add(study("abce" + "0" * 12, name="two"))
    done = cli("stop", "study", "one", "none", "two")
    assert done.code == 3
    assert done.out.splitlines() == [f"Study abcd{'0' * 12} is stopping.", f"Study abce{'0' * 12} is stopping."]
    assert "no study has the name 'none'" in done.err


@pytest.mark.parametrize(
    ("words", "kind"), [(("stop-study",), "study"), (("delete-study", "-y"), "study"), (("stop-trial",), "trial")]
)
def test_each_that_is_not_there_is_told(words: tuple[str, ...], kind: str, cli: Cli) -> None:
    missing = ["a" * 16, "b" * 16, "c" * 16]
    done = cli(*words, *missing)
    assert (done.code, done.out) == (3, "")
    assert [line.split()[-1] for line in done.err.splitlines()] == missing
    assert done.err.count(f"no {kind}") == 3


def test_a_database_that_is_away_is_said_once_and_code_4(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A, name="one"))
    manager.refusal = UnavailableError("the database does not answer: try again")
    done = cli("stop-study", "one", "one")
    assert (done.code, done.err) == (4, "Error: the database does not answer: try again\n")


def test_a_study_is_deleted_after_yes_only(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    assert cli("delete-study", A).code == 2
    assert manager.calls == []
    assert cli("delete", "study", "-y", A).out == f"Study {A} is deleted.\n"
    assert manager.calls == [pb.DeleteStudyRequest(study_id=A)]


def test_a_study_is_paused_and_resumed(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A, running=2))
    assert cli("pause-study", A).out == f"Study {A} is paused; 2 trials still run.\n"
    assert cli("resume-study", A).out == f"Study {A} is RUNNING.\n"
    assert [call.paused for call in manager.calls] == [True, False]


def test_limits_are_changed_and_the_others_kept(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    done = cli("update-study", A, "--max-trials", "50", "--trial-timeout", "1h30m", "--goal", "0.5")
    assert (done.code, done.out) == (0, f"Study {A} is RUNNING; 0/20 trials finished.\n")
    (request,) = manager.calls
    assert (request.max_trials, request.trial_timeout.seconds, request.optimization_goal) == (50, 5400, 0.5)
    assert not any(request.HasField(name) for name in ("max_parallel", "retry_limit", "max_duration", "paused"))


@pytest.mark.parametrize("state", [StudyState.COMPLETED, StudyState.STOPPED, StudyState.FAILED])
def test_a_study_that_has_ended_is_not_said_to_be_stopping(
    state: StudyState, cli: Cli, manager: ScriptedManager
) -> None:
    manager.add(study(A, state=state))
    done = cli("stop-study", A)
    assert (done.code, done.out) == (0, f"Study {A} has ended already: {state.value}.\n")


def test_a_study_that_is_being_deleted_is_not_said_to_be_stopping(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A, reason="Deleting"))
    assert cli("stop-study", A).out == f"Study {A} is being deleted: it goes when its runs have ended.\n"


def test_a_trial_that_has_ended_is_not_said_to_be_stopping(cli: Cli, manager: ScriptedManager) -> None:
    manager.trials = [trial(1, state=TrialState.COMPLETED), trial(2)]
    done = cli("stop-trial", trial(1).id, trial(2).id)
    assert done.code == 0
    assert done.out.splitlines() == [
        f"Trial {trial(1).id} has ended already: COMPLETED.",
        f"Trial {trial(2).id} is stopping.",
    ]


def test_a_study_that_still_ends_is_not_said_to_be_deleted(
    cli: Cli, manager: ScriptedManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_DELETION_S", 0.1)
    manager.add(study(A, running=1))
    manager.slow_to_delete = True
    done = cli("delete-study", "-y", A)
    assert (done.code, done.out) == (0, f"Study {A} is being deleted: it goes when its runs have ended.\n")


def test_a_manager_that_says_nothing_more_once_a_study_is_to_be_deleted_makes_no_failure_of_it(
    cli: Cli, manager: ScriptedManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add(study(A))
    manager.slow_to_delete = True
    there = manager._study

    def look(study_id: str) -> StudyDetail:
        if manager.calls:
            raise ResourceExhaustedError("too many calls: try again later")
        return there(study_id)

    monkeypatch.setattr(manager, "_study", look)
    done = cli("delete-study", "-y", A)
    assert (done.code, done.out) == (0, f"Study {A} is being deleted: it goes when its runs have ended.\n")


ENDED = (
    "--max-trials 5 is reached already, with 6 trials finished: the study ends, and with it what still runs, 2 trials."
)


def test_trials_that_a_limit_ends_are_counted(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A, completed=5, failed=1, running=2, pending=1, max_trials=5))
    done = cli("update-study", A, "--max-trials", "5")
    assert (done.code, done.out) == (0, f"Study {A} is RUNNING; 6/5 trials finished.\n")
    assert done.err == f"Warning: {ENDED}\n"
    told = ENDED.replace("--max-trials 5", "--max-failed-trials 1").replace("6 trials finished", "1 trial failed")
    assert cli("update-study", A, "--max-failed-trials", "1").err == f"Warning: {told}\n"
    for option in ("--max-trials=7", "--max-failed-trials=2", "--max-parallel=1"):
        assert cli("update-study", A, option).err == ""


def test_a_limit_that_ends_nothing_is_no_warning(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A, completed=5, pending=1))
    assert cli("update-study", A, "--max-trials", "5").err == ""


def test_at_a_terminal_it_is_asked_before_trials_are_ended(
    cli: Cli, manager: ScriptedManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add(study(A, completed=5, failed=1, running=2, pending=1))
    for answer, further, changed in (("n\n", [], False), ("y\n", [], True), ("", ["--yes"], True)):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        manager.calls.clear()
        done = cli("update-study", A, "--max-trials", "5", *further)
        assert done.code == 0
        assert (f"{ENDED} Go on?" in done.out) is not bool(further)
        assert (f"Study {A} is left as it was." in done.out) is not changed
        assert bool(manager.calls) is changed
