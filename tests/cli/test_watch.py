"""Following a study: what is shown, through breaks of the connection, and how it ends."""

import io
import re
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest
from rich.console import Console

from katib.api import calls
from katib.api.channel import KEEPALIVE
from katib.api.client import ManagerClient
from katib.cli import patience
from katib.cli.patience import Patience
from katib.cli.watch import events
from katib.cli.watch_lines import trial_line
from katib.cli.watch_live import LiveView, Picture
from katib.cli.watch_state import Watched, show_best, show_counts, show_ending
from katib.domain.errors import NotFoundError, UnavailableError
from katib.domain.study import Objective, StudySpec, StudyState
from katib.domain.trial import Trial, TrialState
from katib.domain.views import StudyDetail, StudyEvent
from tests.cli.conftest import PROGRAM, Cli
from tests.cli.scripted import NOW, SPEC, ScriptedManager, serving, study, trial
from tests.cli.test_logs import on_terminal

A = "a" + "0" * 15
MORE = "See more of it: katib-cli"
RUN = StudyEvent(study(pending=1, running=1), [trial(1), trial(2, state=TrialState.PENDING, started_at=None)], 5)
FINISH = StudyEvent(
    study(running=1, completed=1, best_trial_id=trial(1).id, best_objective=0.9),
    [trial(1, state=TrialState.COMPLETED, objective=0.9), trial(2)],
    6,
)
END = StudyEvent(
    study(
        state=StudyState.COMPLETED,
        reason="MaxTrialsReached",
        message="all 2 trials have finished",
        completed=1,
        failed=1,
        max_trials=2,
        best_trial_id=trial(1).id,
        best_objective=0.9,
        ended_at=NOW + timedelta(minutes=2),
    ),
    [trial(2, state=TrialState.ERROR, reason="ExitCode", message="it ended with 1\x1b")],
    7,
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE_S", 0.01)


def lines(text: str) -> list[str]:
    """Without the time of day before each."""
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in text.splitlines()]


def test_a_pipe_gets_a_line_for_each_thing_that_happens(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.watches = [[RUN, FINISH, END]]
    done = cli("watch", A)
    assert (done.code, done.err) == (0, "")
    parameters = "--lr=0.012345678901234567 --layers=3 --opt=sgd"
    assert lines(done.out) == [
        f"trial 1 ({trial(1).id}): RUNNING, {parameters}",
        f"trial 2 ({trial(2).id}): PENDING, {parameters}",
        f"study {A}: RUNNING; 0 of 20 trials finished; 1 running, 1 pending",
        f"trial 1 ({trial(1).id}): COMPLETED, accuracy 0.9 (the best so far)",
        f"trial 2 ({trial(2).id}): RUNNING, {parameters}",
        f"trial 2 ({trial(2).id}): ERROR, ExitCode: it ended with 1\\x1b",
        f"study {A}: COMPLETED, MaxTrialsReached: all 2 trials have finished; 2 of 2 trials finished, 1 failed; "
        "0 running, 0 pending",
        f"Study {A} is COMPLETED (MaxTrialsReached: all 2 trials have finished): 2 of 2 trials finished, 1 failed.",
        f"Best: accuracy 0.9, trial 1 ({trial(1).id}): {parameters}",
    ]


def test_create_and_watch_is_one_command(cli: Cli, manager: ScriptedManager) -> None:
    manager.watches = [[END]]
    done = cli("create-study", "-f", "examples/cifer10.yaml", "--watch")
    assert done.code == 0
    assert done.out.startswith("Study c000000000000000 is created.\n")
    assert f"Study {A} is COMPLETED" in done.out


@pytest.mark.parametrize(
    ("state", "code"), [(StudyState.COMPLETED, 0), (StudyState.FAILED, 1), (StudyState.STOPPED, 1)]
)
def test_the_exit_code_says_how_the_study_ended(
    state: StudyState, code: int, cli: Cli, manager: ScriptedManager
) -> None:
    manager.add(study(A))
    manager.watches = [[StudyEvent(study(A, state=state), [], 2)]]
    assert cli("watch", A).code == code


@pytest.mark.parametrize(
    ("counts", "code"),
    [({"failed": 3}, 1), ({"failed": 1, "killed": 2}, 1), ({"failed": 2, "completed": 1}, 0), ({"killed": 3}, 0)],
)
def test_a_study_whose_trials_failed_without_one_that_completed_was_no_success(
    counts: dict[str, int], code: int, cli: Cli, manager: ScriptedManager
) -> None:
    manager.add(study(A))
    manager.watches = [[StudyEvent(study(A, state=StudyState.COMPLETED, **counts), [], 2)]]
    assert cli("watch", A).code == code


def test_a_study_that_is_deleted_meanwhile_is_one_sentence_and_code_3(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.watches = [[RUN, NotFoundError(f"there is no study {A}")]]
    done = cli("watch", A)
    assert (done.code, done.err) == (3, f"Error: there is no study {A}\n")


def test_a_broken_stream_is_taken_up_where_it_was(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.watches = [
        [RUN, UnavailableError("the manager is stopping")],
        [],
        [UnavailableError("again")],
        [FINISH],
        [END],
    ]
    done = cli("watch", A)
    assert done.code == 0
    assert [call.after_revision for call in manager.calls] == [1, 5, 5, 5, 6]
    assert len(done.err.splitlines()) == 2
    assert done.err.startswith("Connection lost (the manager is stopping); trying again for 10 minutes.\n")


def test_a_manager_that_restarts_is_found_again(manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.watches = [[RUN, UnavailableError("stopping")], [END]]
    said: list[str] = []
    with serving(manager) as address, ManagerClient(address) as client:
        assert [event.revision for event in events(client, A, Patience(said.append))] == [5, 7]
    assert said == ["Connection lost (stopping); trying again for 10 minutes."]


def test_a_manager_that_went_away_without_a_word_is_noticed(
    server: str, manager: ScriptedManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"grpc.keepalive_time_ms": 200, "grpc.http2.ping_timeout_ms": 200}
    monkeypatch.setattr(calls, "KEEPALIVE", tuple((name, short.get(name, value)) for name, value in KEEPALIVE))
    gate = Event()
    manager.watches = [[RUN, gate]]
    with Relay(server) as relay, ManagerClient(relay.address) as watcher:
        watching = watcher.watch_study(A)
        assert next(watching).revision == RUN.revision
        relay.fall_silent()
        with pytest.raises(UnavailableError):
            next(watching)
    gate.set()


class Relay:
    """Stands between a client and a server, and can lose every packet from some moment on, as a broken network does."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._silent = Event()
        self._listener = socket.create_server(("localhost", 0))
        self._sockets = [self._listener]
        self.address = f"localhost:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Relay":
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._sockets:
            end.close()

    def fall_silent(self) -> None:
        self._silent.set()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        host, _, port = self._server.partition(":")
        far = socket.create_connection((host, int(port)))
        self._sockets += [near, far]
        Thread(target=self._pass_on, args=(near, far), daemon=True).start()
        Thread(target=self._pass_on, args=(far, near), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self._silent.is_set():
                    target.sendall(data)


def test_an_interrupt_leaves_the_study_running_and_says_so(server: str, manager: ScriptedManager) -> None:
    gate = Event()
    manager.add(study(A))
    manager.watches = [[RUN, gate]]
    with subprocess.Popen(
        [str(PROGRAM), "-s", server, "watch", A], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "trial 1" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    gate.set()
    assert process.returncode == 130
    assert f"Study {A} goes on. See it again: katib-cli watch {A}; end it: katib-cli stop-study {A}" in err
    assert [type(call).__name__ for call in manager.calls] == ["WatchStudyRequest"]


@pytest.mark.long
def test_a_terminal_gets_the_picture_and_the_last_words(server: str, manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.watches = [[RUN, FINISH, END]]
    code, text = on_terminal([str(PROGRAM), "-s", server, "watch", A])
    assert code == 0
    assert "Best: accuracy 0.9, trial 1" in text.splitlines()[-1]


@pytest.mark.long
def test_a_terminal_that_cannot_draw_gets_a_line_for_each_trial(server: str, manager: ScriptedManager) -> None:
    manager.add(study(A))
    manager.watches = [[RUN, FINISH, END]]
    code, text = on_terminal(["env", "TERM=dumb", str(PROGRAM), "-s", server, "watch", A])
    assert code == 0
    assert re.search(r"trial 1 .*COMPLETED", text, re.IGNORECASE), text


# The state


def watched(**changes: object) -> Watched:
    return Watched(StudyDetail(study(**changes), SPEC, None))


def test_what_had_finished_before_is_no_news() -> None:
    state = watched(completed=2, running=1)
    old = [trial(n, state=TrialState.COMPLETED, objective=0.1 * n) for n in (1, 2)]
    assert state.take(StudyEvent(study(), [*old, trial(3)], 4)) == [trial(3)]
    quick = trial(4, state=TrialState.COMPLETED, objective=0.5)
    assert state.take(StudyEvent(study(), [quick], 5)) == [quick]


def test_a_metric_alone_is_no_news_and_a_retry_is() -> None:
    state = watched()
    state.take(StudyEvent(study(), [trial(1)], 2))
    assert state.take(StudyEvent(study(), [trial(1, objective=0.3)], 3)) == []
    again = trial(1, attempt=2, state=TrialState.PENDING, reason="WaitingForRetry")
    assert state.take(StudyEvent(study(), [again], 4)) == [again]
    assert state.unfinished == [again]


def test_the_finished_are_forgotten() -> None:
    state = watched()
    state.take(StudyEvent(study(), [trial(n) for n in range(1, 50)], 2))
    state.take(StudyEvent(study(), [trial(n, state=TrialState.KILLED) for n in range(1, 50)], 3))
    assert state.unfinished == []


def test_the_best_trial_is_known_though_it_came_before_the_study_said_so() -> None:
    state = watched(max_trials=None)
    state.take(StudyEvent(study(), [trial(1, state=TrialState.COMPLETED, objective=0.9)], 2))
    state.take(StudyEvent(study(), [trial(2, state=TrialState.COMPLETED, objective=0.4)], 3))
    state.take(StudyEvent(study(best_trial_id=trial(1).id, best_objective=0.9), [], 4))
    assert state.best is not None
    assert "accuracy 0.9, trial 1 (" in show_best(state)
    state.take(StudyEvent(study(best_trial_id="c" * 16, best_objective=0.95), [], 5))
    assert show_best(state) == f"accuracy 0.95, trial {'c' * 16}"


def test_the_smaller_value_is_the_better_one_where_it_is_minimized() -> None:
    state = Watched(StudyDetail(study(), replace(SPEC, optimization=Objective.MINIMIZE), None))
    for number, value in ((1, 0.9), (2, 0.4), (3, float("nan"))):
        state.take(StudyEvent(study(), [trial(number, state=TrialState.COMPLETED, objective=value)], number))
    state.take(StudyEvent(study(best_trial_id=trial(2).id, best_objective=0.4), [], 9))
    assert "trial 2 (" in show_best(state)


def test_counts_name_what_there_is() -> None:
    assert show_counts(study(completed=3, failed=1, killed=2, running=2)) == (
        "6 of 20 trials finished, 1 failed, 2 killed; 2 running, 0 pending"
    )
    assert show_counts(study(max_trials=None)) == "0 trials finished; 0 running, 0 pending"


def test_the_last_words_say_that_no_trial_has_reported() -> None:
    state = watched(state=StudyState.STOPPED, reason="StoppedByUser")
    assert show_ending(state).splitlines() == [
        f"Study {A} is STOPPED (StoppedByUser): 0 of 20 trials finished.",
        "Best: no trial has completed with a value of 'accuracy' yet",
    ]


FAILURE = trial(2, state=TrialState.ERROR, reason="ExitCode", message="it ended with 127")
CASES = (
    (2, 0, SPEC, FAILURE, f"All 2 trials failed. Trial 2: ExitCode: it ended with 127\n{MORE} logs {FAILURE.id}"),
    (1, 0, SPEC, FAILURE, f"Its one trial failed. Trial 2: ExitCode: it ended with 127\n{MORE} logs {FAILURE.id}"),
    (
        *(2, 3, SPEC, replace(FAILURE, reason="StartFailed", message="no pythn")),
        f"No trial completed, and 2 failed. Trial 2: StartFailed: no pythn\n{MORE} get-trial {FAILURE.id}",
    ),
    (
        *(2, 0, replace(SPEC, algorithm=""), replace(FAILURE, reason="", message="")),
        f"All 2 trials failed. Trial 2: ERROR\n{MORE} get-trial {FAILURE.id}",
    ),
    (2, 0, SPEC, None, f"All 2 trials failed: see katib-cli list-trials {A} --state ERROR"),
)


@pytest.mark.parametrize(("failed", "killed", "spec", "first", "said"), CASES)
def test_the_last_words_say_why_nothing_completed(
    failed: int, killed: int, spec: StudySpec, first: Trial | None, said: str
) -> None:
    ended = study(state=StudyState.COMPLETED, failed=failed, killed=killed)
    state = Watched(StudyDetail(ended, spec, None))
    later = [] if first is None else [replace(first, id="c" * 16, number=first.number + 1, message="later")]
    state.take(StudyEvent(ended, [*later, *([first] if first else [])], 2))
    state.take(StudyEvent(ended, later, 3))
    assert show_ending(state).partition("\n")[2] == said


def test_a_line_of_a_further_attempt_says_so() -> None:
    line = trial_line(trial(1, attempt=2), "accuracy", best=False)
    assert line.startswith(f"trial 1 ({trial(1).id}): RUNNING, attempt 2, --lr=")


# The picture


def drawn(picture: Picture, width: int = 100, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(picture.draw(height, NOW + timedelta(minutes=3)))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_picture_shows_progress_the_best_and_the_running() -> None:
    summary = study(completed=5, running=1, pending=1, reason="NoSuggestions", message="waiting [bold]for[/bold] more")
    trials = [trial(6, objective=0.5), trial(7, state=TrialState.PENDING, started_at=None, reason="WaitingForSlot")]
    text = drawn(Picture(summary, trials, "accuracy 0.9, trial 2"))
    assert text[0] == f"Study {A} digits  RUNNING  NoSuggestions: waiting [bold]for[/bold] more  3m"
    assert text[1].endswith("5 of 20 trials finished; 1 running, 1 pending")
    assert text[2] == "Best: accuracy 0.9, trial 2"
    assert text[3].split()[:5] == ["TRIAL", "ID", "STATE", "accuracy", "TOOK"]
    assert text[4].split()[:5] == ["6", trial(6).id, "RUNNING", "0.5", "2m59s"]
    assert text[5].split() == ["7", trial(7).id, "PENDING", "-", "-", "WaitingForSlot"]


def test_the_picture_fits_the_terminal() -> None:
    picture = Picture(
        study(running=500, max_trials=None), [trial(n) for n in range(1, 501)], "x" * 50, "Connection lost"
    )
    text = drawn(picture, width=80, height=20)
    assert len(text) < 20
    assert "and 489 more" in text
    assert text[-1] == "Connection lost"
    assert all(len(line) <= 80 for line in text)


def test_a_long_reason_leaves_the_other_columns_whole() -> None:
    waiting = trial(
        7, state=TrialState.PENDING, reason="WaitingForSlot", message="it begins when another one ends " * 9
    )
    row = drawn(Picture(study(), [waiting], ""), width=80)[-1]
    assert row.split()[:3] == ["7", waiting.id, "PENDING"]
    assert len(row) == 80
    assert row.endswith("…")


def test_the_picture_sends_nothing_that_a_terminal_obeys() -> None:
    evil = "\x1b[31m\x9b"
    bad = trial(1, reason="X", message=evil)
    text = "\n".join(drawn(Picture(study(name=evil, message=evil, objective_name=evil), [bad], "")))
    assert "\x1b" not in text
    assert "\x9b" not in text


def test_the_live_view_wipes_its_picture() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=24)
    state = watched()
    with LiveView(state, console) as view:
        view.show(state.take(RUN))
        view.say("Connection lost")
        view.show(state.take(END))
    assert "digits" in out.getvalue()
    assert out.getvalue().count("\x1b[2K") > 3  # erased line by line
