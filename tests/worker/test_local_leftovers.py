"""What a program leaves in sessions of its own ends with the run, before another attempt can begin."""

import os
import signal
import subprocess
import time

import pytest

from katib.domain.names import new_id
from katib.worker.base import RunPhase
from katib.worker.local import leftovers, process
from katib.worker.local.leftovers import Census, Leftovers, Rest
from katib.worker.local.process import RunIdentity, environment
from katib.worker.local.worker import LocalWorker
from tests.worker.hasty import GRACE_S, driver, worker
from tests.worker.local import driver_of, folder_of, is_gone, until

__all__ = ["driver", "worker"]

ENDS = {0: "exit 0", 3: "exit 3", 137: "kill -9 $$"}


def start(tmp_path, driver, end: str, left: str) -> tuple[str, int]:
    """A run that ends as `end` says, and the number of the process in a session of its own that it leaves, which is `left`."""
    script = f'setsid sh -c "$0" & while [ ! -s pid ]; do sleep 0.01; done; {end}'
    name = driver.start("sh", "-c", script, left)
    path = folder_of(tmp_path, driver, name) / "work" / "pid"
    until("it never began", lambda: path.exists() and path.read_text().endswith("\n"))
    return name, int(path.read_text())


@pytest.mark.parametrize("code", ENDS)
def test_what_a_run_leaves_is_asked_to_end_before_the_run_is_over(tmp_path, driver, code):
    left = "trap 'sleep 0.1; echo asked >>asked; exit' TERM; echo $$ >pid; while :; do sleep 0.01; done"
    name, pid = start(tmp_path, driver, ENDS[code], left)
    assert driver.ended(name).exit_code == code
    assert is_gone(pid)
    assert (folder_of(tmp_path, driver, name) / "work" / "asked").read_text() == "asked\n"


@pytest.mark.long
@pytest.mark.parametrize("code", ENDS)
def test_what_does_not_end_when_it_is_asked_is_killed_after_the_grace(tmp_path, driver, code):
    left = "trap 'echo asked >>asked' TERM; echo $$ >pid; while :; do sleep 0.01; done"
    name, pid = start(tmp_path, driver, ENDS[code], left)
    driver.until("nobody waits for it", lambda: "its processes to end" in driver.status(name).message)
    assert driver.status(name).phase is RunPhase.RUNNING
    assert str(pid) in driver.status(name).message
    assert driver.ended(name).exit_code == code
    assert is_gone(pid)
    work = folder_of(tmp_path, driver, name) / "work"
    assert (work / "asked").read_text() == "asked\n"
    status = driver.status(name)
    # It ended when its program did, however long the rest of it took.
    assert status.ended_at.timestamp() == pytest.approx(os.stat(work.parent / "exit").st_mtime, abs=0.01)
    assert time.time() - status.ended_at.timestamp() >= GRACE_S


def test_what_may_not_be_ended_keeps_no_run(tmp_path, driver, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError

    # As of a program that has become another user's, which takes privileges to make.
    monkeypatch.setattr(process, "send_to", refused)
    name, pid = start(tmp_path, driver, "exit 0", "echo $$ >pid; sleep 600")
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_what_does_not_end_when_it_is_killed_keeps_no_run_for_long(monkeypatch):
    trial_id = new_id()
    given = {"TRIAL_ID": trial_id, "KATIB_ATTEMPT": "1"}
    with subprocess.Popen(["sleep", "600"], env=given, start_new_session=True) as left:
        # As where it hangs in the kernel.
        monkeypatch.setattr(process, "send_to", lambda *_: None)
        identity = RunIdentity(trial_id, 1, 0)
        until("it is not there", lambda: identity.members())
        ours, rest = Leftovers(grace_s=0.1, give_up_s=0.2), Rest()
        begin = time.monotonic()
        while ours.end(identity, rest, ended_well=True, at_once=False):
            assert time.monotonic() < begin + 10
            time.sleep(0.02)
        assert time.monotonic() >= begin + 0.3
        # Who stops a run wants to know that nothing of it goes on.
        assert ours.end(identity, Rest(), ended_well=True, at_once=True)
        left.kill()


def test_what_is_begun_by_what_is_left_ends_too(tmp_path, driver):
    left = "trap 'setsid sleep 600 & echo $! >second; exit' TERM; echo $$ >pid; while :; do sleep 0.01; done"
    name, pid = start(tmp_path, driver, "exit 3", left)
    driver.ended(name)
    second = int((folder_of(tmp_path, driver, name) / "work" / "second").read_text())
    assert is_gone(pid)
    assert is_gone(second)


def test_a_stop_waits_no_longer_for_what_is_left(tmp_path):
    worker = LocalWorker(tmp_path, stop_grace_s=600)
    driver = driver_of(worker)
    name, pid = start(tmp_path, driver, "exit 3", "trap '' TERM; echo $$ >pid; while :; do sleep 0.01; done")
    driver.until("nobody waits for it", lambda: "its processes to end" in driver.status(name).message)
    worker.stop(driver.study_id, name)
    assert driver.ended(name).exit_code == 3
    assert is_gone(pid)
    worker.close()


def test_what_other_runs_have_left_the_session_with_goes_on(tmp_path, driver):
    other = driver.start("sh", "-c", "setsid sh -c 'echo $$ >pid; exec sleep 600' & wait")
    path = folder_of(tmp_path, driver, other) / "work" / "pid"
    until("it never began", lambda: path.exists() and path.read_text().endswith("\n"))
    for end in ENDS.values():
        name, _ = start(tmp_path, driver, end, "echo $$ >pid; exec sleep 600")
        driver.ended(name)
    assert not is_gone(int(path.read_text()))
    assert driver.status(other).phase is RunPhase.RUNNING


def test_what_gives_up_session_and_environment_cannot_be_told_from_others(tmp_path, driver):
    name, pid = start(tmp_path, driver, "exit 3", "exec env -i sh -c 'echo $$ >pid; exec sleep 600'")
    assert driver.ended(name).exit_code == 3
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_history_is_not_looked_at_again(tmp_path, worker, driver):
    name = driver.start("sh", "-c", "exit 3")
    driver.ended(name)
    worker.delete(driver.study_id, name)
    driver.until("it never became history", lambda: name not in driver.statuses())
    trial_id = name.rpartition("-")[0]
    late = subprocess.Popen(["sleep", "600"], env={"TRIAL_ID": trial_id, "KATIB_ATTEMPT": "1", "PATH": os.defpath})
    try:
        assert worker.log(driver.study_id, name, 0, 10).finished
        assert late.poll() is None
    finally:
        late.kill()
        late.wait()


@pytest.fixture
def spawn():
    processes = []

    def start(*command: str, **variables: str) -> int:
        environment = {"PATH": os.environ["PATH"], **variables}
        processes.append(subprocess.Popen(command, env=environment, start_new_session=True))
        return processes[-1].pid

    yield start
    for begun in processes:
        begun.kill()
        begun.wait()


def test_a_census_reads_each_process_once_and_finds_what_a_full_look_finds(spawn, monkeypatch):
    trial_id, read = new_id(), []
    monkeypatch.setattr(leftovers, "environment", lambda pid: read.append(pid) or environment(pid))
    stranger = spawn("sleep", "600", TRIAL_ID=new_id(), KATIB_ATTEMPT="1")
    first = spawn("sleep", "600", TRIAL_ID=trial_id, KATIB_ATTEMPT="1")
    spawn("sleep", "600", TRIAL_ID=trial_id, KATIB_ATTEMPT="2")
    identity, census = RunIdentity(trial_id, 1, 0), Census()
    assert census.members(identity) == identity.members()
    assert [member.pid for member in identity.members()] == [first]
    assert {first, stranger} <= set(read)
    read.clear()
    second = spawn("sleep", "600", TRIAL_ID=trial_id, KATIB_ATTEMPT="1")
    assert set(census.members(identity)) == set(identity.members())
    assert {member.pid for member in identity.members()} == {first, second}
    assert second in read
    assert not {first, stranger} & set(read)
    led = RunIdentity(new_id(), 1, stranger)
    assert [member.pid for member in census.members(led)] == [stranger]


def test_a_census_does_not_remember_what_it_could_not_read_yet(spawn, monkeypatch):
    # As of a process that is just about to execute a program.
    trial_id = new_id()
    pid = spawn("sleep", "600", TRIAL_ID=trial_id, KATIB_ATTEMPT="1")
    identity, census = RunIdentity(trial_id, 1, 0), Census()
    with monkeypatch.context() as patch:
        patch.setattr(leftovers, "environment", lambda _: b"")
        census.members(RunIdentity(new_id(), 1, 0))
    assert [member.pid for member in census.members(identity)] == [pid]
