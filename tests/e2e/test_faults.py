"""Processes that are killed, restarted, missing: a study ends with what it asked for all the same."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from katib.domain.errors import FailedPreconditionError, InvalidArgumentError
from katib.domain.study import StudyReason, StudyState
from katib.domain.trial import TrialState
from tests.e2e.harness import World, finished, study, trials, until

# Each trial notes that it began, under a name that nobody else uses.
COUNTED = 'echo "$x" > "$COUNT/$TRIAL_ID-$KATIB_ATTEMPT"; sleep 0.2; echo acc=$x'


def counted(katib: World) -> Path:
    folder = katib.folder / "count"
    folder.mkdir(exist_ok=True)
    katib.environment["COUNT"] = str(folder)
    return folder


@pytest.mark.long
def test_a_killed_manager_finishes_the_study_when_it_is_started_again(katib: World) -> None:
    count = counted(katib)
    katib.suggestion("random")
    manager = katib.manager()
    with katib.client() as client:
        study_id = client.create_study(study(script=COUNTED, limits={"max_trials": 12, "max_parallel": 3}))
        until(lambda: client.get_study(study_id).summary.completed >= 3)
    for _ in range(3):
        manager.kill()
        manager = katib.manager()
        time.sleep(0.3)
    with katib.client() as client:
        summary = finished(client, study_id)
        assert (summary.state, summary.completed, summary.trials) == (StudyState.COMPLETED, 12, 12)
        done = trials(client, study_id)
    assert [t.number for t in done] == list(range(1, 13))
    assert {t.attempt for t in done} == {1}
    assert sorted(p.name for p in count.iterdir()) == sorted(f"{t.id}-1" for t in done)
    assert manager.end() == 0


@pytest.mark.slow
def test_a_trial_that_ends_while_the_manager_is_down_keeps_what_it_printed(katib: World) -> None:
    katib.suggestion("random")
    manager = katib.manager()
    gate = katib.folder / "gate"
    script = f"echo acc=0.1; while [ ! -e {gate} ]; do sleep 0.05; done; echo acc=0.9"
    with katib.client() as client:
        study_id = client.create_study(study(script=script, limits={"max_trials": 1}))
        until(lambda: trials(client, study_id) and trials(client, study_id)[0].objective == 0.1)
    manager.kill()
    gate.touch()
    until(lambda: not [p for p in psutil.process_iter() if _names(p, str(gate))])
    katib.manager()
    with katib.client() as client:
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        assert (trial.state, trial.objective) == (TrialState.COMPLETED, 0.9)
        assert [o.value for o in client.get_trial(trial.id).observations] == [0.1, 0.9]


@pytest.mark.long
def test_a_study_without_its_service_is_refused_and_nothing_is_stored(katib: World) -> None:
    katib.manager()
    with katib.client() as client:
        with pytest.raises(FailedPreconditionError, match="suggestion-nowhere"):
            client.create_study(study(algorithm="nowhere"))
        assert client.list_studies().items == []


@pytest.mark.slow
def test_a_service_that_appears_after_a_refusal_is_found_at_once(katib: World) -> None:
    katib.manager()
    with katib.client() as client:
        for _ in range(5):
            try:
                client.create_study(study())
            except FailedPreconditionError:
                time.sleep(0.5)
        katib.suggestion("random")
        begin = time.monotonic()
        study_id = client.create_study(study())
        assert time.monotonic() - begin < 2
        assert finished(client, study_id).completed == 4


@pytest.mark.slow
def test_a_study_whose_service_goes_away_says_so_and_goes_on_within_two_seconds_of_its_return(katib: World) -> None:
    service = katib.suggestion("random")
    manager = katib.manager()
    with katib.client() as client:
        # No goal and a limit that asking ahead does not reach.
        study_id = client.create_study(study(script="sleep 0.05; echo acc=1", limits={"max_trials": 400}))
        until(lambda: client.get_study(study_id).summary.completed >= 1)
        service.kill()
        waiting = until(
            lambda: (s := client.get_study(study_id).summary).reason == StudyReason.SUGGESTION_UNAVAILABLE and s
        )
        assert waiting.state is StudyState.RUNNING
        assert "suggestion-random" in waiting.message
        before = waiting.completed
        time.sleep(5)
        katib.suggestion("random")
        begin = time.monotonic()
        until(lambda: client.get_study(study_id).summary.trials > before + waiting.running)
        assert time.monotonic() - begin < 2
        until(lambda: client.get_study(study_id).summary.reason == "")
        # Once in the manager's log too, for who looks there.
        (line,) = [line for line in manager.output.splitlines() if "a study is held up" in line]
        assert study_id in line
        assert "suggestion-random" in line
        client.stop_study(study_id)
        finished(client, study_id)


@pytest.mark.long
def test_an_algorithm_name_that_is_no_name_never_becomes_an_address(katib: World) -> None:
    katib.manager()
    with katib.client() as client:
        for name in ("../../etc/passwd", "a.example.com:80/", "UPPER", "x" * 41, "-a", "a\n"):
            with pytest.raises(InvalidArgumentError) as caught:
                client.create_study(study(algorithm=name))
            assert caught.value.violations[0].field == "study_config.suggest_algorithm"


@pytest.mark.slow
def test_katib_local_ends_cleanly_and_a_second_start_goes_on(katib: World) -> None:
    count = counted(katib)
    local = katib.local()
    with katib.client() as client:
        study_id = client.create_study(study(script=COUNTED, limits={"max_trials": 10}))
        until(lambda: client.get_study(study_id).summary.completed >= 2)
    assert local.end(signal.SIGINT) == 0
    assert not _services(katib)
    katib.local()
    with katib.client() as client:
        assert finished(client, study_id).completed == 10
        assert sorted(p.name for p in count.iterdir()) == sorted(f"{t.id}-1" for t in trials(client, study_id))


@pytest.mark.slow
def test_katib_local_killed_alone_takes_its_services_with_it_and_a_second_start_goes_on(katib: World) -> None:
    count = counted(katib)
    local = katib.local()
    with katib.client() as client:
        study_id = client.create_study(study(script=COUNTED, limits={"max_trials": 10}))
        until(lambda: client.get_study(study_id).summary.completed >= 2)
    # Those that were called, and the dashboard.
    services = len(_services(katib))
    assert services
    local.kill()
    katib.local()
    until(lambda: len(_services(katib)) == services)
    with katib.client() as client:
        assert finished(client, study_id).completed == 10
        assert sorted(p.name for p in count.iterdir()) == sorted(f"{t.id}-1" for t in trials(client, study_id))


@pytest.mark.slow
def test_after_everything_is_killed_a_second_start_runs_lost_attempts_again(katib: World) -> None:
    counted(katib)
    local = katib.local()
    with katib.client() as client:
        study_id = client.create_study(study(script=COUNTED, limits={"max_trials": 10, "retry_limit": 5}))
        until(lambda: client.get_study(study_id).summary.completed >= 2)
    local.kill()
    for process in psutil.process_iter():
        if _names(process, str(katib.folder)) or _names(process, str(katib.sockets)):
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    katib.local()
    with katib.client() as client:
        summary = finished(client, study_id)
        assert (summary.completed, summary.trials) == (10, 10)


@pytest.mark.slow
def test_a_second_katib_local_on_the_same_folder_is_refused_with_a_sentence(katib: World) -> None:
    katib.local()
    second = katib.start("katib-local", "--data", katib.folder / "data", "--listen", "localhost:0")
    assert second.popen.wait(30) == 1
    assert "another katib-local works on" in second.output
    assert "Traceback" not in second.output


def _services(katib: World) -> list[int]:
    """The processes of services behind sockets in this test's folder."""
    commands = {p.pid: " ".join(_command(p)) for p in psutil.process_iter()}
    return [pid for pid, words in commands.items() if str(katib.sockets) in words and ".server" in words]


def _names(process: psutil.Process, text: str) -> bool:
    try:
        return any(text in word for word in (*process.cmdline(), *process.environ().values()))
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.mark.slow
def test_managers_that_were_killed_leave_no_row_behind(katib: World) -> None:
    for _ in range(4):
        katib.manager().kill()
    katib.manager()
    with closing(sqlite3.connect(katib.folder / "data" / "katib.db")) as database:
        until(lambda: database.execute("SELECT count(*) FROM managers").fetchone() == (1,))


@pytest.mark.long
def test_a_name_that_does_not_resolve_is_named_in_our_words(katib: World) -> None:
    katib.manager("--suggestion-address", "suggestion-{algorithm}.invalid:6789")
    with (
        katib.client() as client,
        pytest.raises(FailedPreconditionError, match=r"nothing answers at suggestion-random\.invalid:6789"),
    ):
        client.create_study(study())


@pytest.mark.long
def test_no_attempt_runs_beside_what_another_has_left_and_nothing_of_a_study_is_left(running: World) -> None:
    log = running.folder / "attempts"
    # As a launcher does whose workers have sessions of their own, and which is killed.
    left = "while :; do echo $KATIB_ATTEMPT left >>$0; sleep 0.05; done"
    script = f"""
echo $KATIB_ATTEMPT begins >>{log}
setsid sh -c '{left}' {log} &
while ! grep -q "^$KATIB_ATTEMPT left" {log}; do sleep 0.01; done
if [ $KATIB_ATTEMPT = 1 ]; then kill -9 $$; fi
echo acc=0.5"""
    with running.client() as client:
        study_id = client.create_study(study(script=script, limits={"max_trials": 1, "retry_limit": 1}))
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        assert [p.pid for p in psutil.process_iter() if _is_of(p, trial.id)] == []
        client.delete_study(study_id)
    assert (trial.state, trial.attempt) == (TrialState.COMPLETED, 2)
    said = log.read_text().splitlines()
    assert {"1 left", "2 left"} < set(said)
    assert "1 left" not in said[said.index("2 begins") :]


def _is_of(process: psutil.Process, trial_id: str) -> bool:
    try:
        return process.environ().get("TRIAL_ID") == trial_id and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
