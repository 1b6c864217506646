"""Following a study that has gone on for a while."""

from katib.domain.study import StudyState
from katib.domain.trial import TrialState
from katib.domain.views import StudyEvent
from tests.cli.conftest import Cli
from tests.cli.scripted import ScriptedManager, study, trial
from tests.cli.test_watch import A, lines


def test_what_had_finished_before_is_not_asked_for(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A, revision=9, running=2, failed=3))
    manager.trials = [trial(n, state=TrialState.ERROR, reason="ExitCode", message=f"no. {n}") for n in (1, 2, 3)]
    manager.trials += [trial(4), trial(5)]
    last = [trial(n, state=TrialState.ERROR, reason="ExitCode", message=f"no. {n}") for n in (4, 5)]
    manager.watches = [
        [
            StudyEvent(study(A, running=2, failed=3), [], 9),
            StudyEvent(study(A, state=StudyState.FAILED, failed=5), last, 10),
        ]
    ]
    done = cli("watch", A)
    (call,) = manager.calls
    assert (done.code, call.after_revision, manager.trials_given) == (1, 9, 2 + 1)
    assert [line for line in lines(done.out) if line.startswith("trial ")] == [
        f"trial 4 ({trial(4).id}): RUNNING, --lr=0.012345678901234567 --layers=3 --opt=sgd",
        f"trial 5 ({trial(5).id}): RUNNING, --lr=0.012345678901234567 --layers=3 --opt=sgd",
        f"trial 4 ({trial(4).id}): ERROR, ExitCode: no. 4",
        f"trial 5 ({trial(5).id}): ERROR, ExitCode: no. 5",
    ]
    assert "All 5 trials failed. Trial 1: ExitCode: no. 1" in done.out
