"""The process that hosts a local worker is killed or frozen; the next one finds out what became of the runs."""

import json
import os
import signal
import subprocess
import time
from random import Random

import psutil
import pytest

from katib.domain.errors import FailedPreconditionError
from katib.domain.names import new_id, run_name
from katib.worker.base import RunPhase
from katib.worker.local import wrapper
from katib.worker.local.command import CommandBuilder
from katib.worker.local.folder import RunFolders
from katib.worker.local.process import boot_id
from katib.worker.local.worker import LocalWorker
from tests.worker.local import Host, driver_of, folder_of, is_gone, kill_session, leader_of, until

pytestmark = pytest.mark.long


@pytest.fixture(params=[True, False], ids=["pidfd", "polling"])
def driver(tmp_path, request):
    worker = LocalWorker(tmp_path, stop_grace_s=0.5, pidfds=request.param)
    driver = driver_of(worker)
    yield driver
    for name in driver.statuses():
        worker.delete(driver.study_id, name)
    driver.until("the runs never ended", lambda: not driver.statuses())
    worker.close()


@pytest.fixture
def new_host(tmp_path):
    hosts = []

    def new() -> Host:
        hosts.append(Host(tmp_path))
        return hosts[-1]

    yield new
    for host in hosts:
        host.kill()


@pytest.fixture
def host(new_host):
    return new_host()


@pytest.fixture
def stranger():
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    assert process.poll() is None, "a process that is nobody's run was harmed"
    process.kill()
    process.wait()


def killed_host_with(tmp_path, driver, *command: str) -> str:
    """A run whose manager was killed; it has printed `here`."""
    host = Host(tmp_path)
    name = host.create(driver, new_id(), *command)
    output = folder_of(tmp_path, driver, name) / "output"
    until("it never began", lambda: output.exists() and "here" in output.read_text())
    host.kill()
    return name


def spawn(tmp_path, driver, run) -> int:
    """A wrapper as a create leaves it behind that is cut off right then."""
    folders = RunFolders(str(tmp_path))
    folder = folders.run(driver.study_id, run.name)
    folders.make(folder)
    return wrapper.spawn(folder, run.name, boot_id(), CommandBuilder().build(run, f"{folder}/work"))


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_run_that_goes_on_is_adopted_and_its_end_is_learned(tmp_path, driver):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo here; while [ ! -e go ]; do sleep 0.01; done; exit 5")
    assert driver.status(name).phase is RunPhase.RUNNING
    (folder_of(tmp_path, driver, name) / "work" / "go").touch()
    status = driver.ended(name)
    assert (status.phase, status.exit_code) == (RunPhase.FAILED, 5)
    assert driver.texts(name) == ["here"]


def test_a_run_that_was_adopted_can_be_stopped(tmp_path, driver):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "trap '' TERM; echo here; while :; do sleep 0.05; done")
    driver.worker.stop(driver.study_id, name)
    assert driver.status(name).phase is RunPhase.STOPPING
    status = driver.ended(name)
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "ProcessVanished", None)
    assert is_gone(leader_of(tmp_path, driver, name))


def test_what_ended_meanwhile_is_known(tmp_path, driver):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo here; exit 7")
    until("it never ended", (folder_of(tmp_path, driver, name) / "exit").exists)
    status = driver.status(name)
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "ExitCode", 7)
    assert status.ended_at is not None
    assert driver.texts(name) == ["here"]


def test_what_was_killed_meanwhile_has_vanished(tmp_path, driver):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo here; sleep 600")
    kill_session(leader_of(tmp_path, driver, name))
    status = driver.ended(name)
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "ProcessVanished", None)
    assert driver.texts(name)[0] == "here"
    successor = driver_of(LocalWorker(tmp_path), driver.study_id)
    assert successor.status(name).reason == "ProcessVanished"
    successor.worker.close()


def test_a_run_has_vanished_only_when_nothing_of_it_is_left(tmp_path, driver):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo $$ >pid; echo here; sleep 600")
    command = int((folder_of(tmp_path, driver, name) / "work" / "pid").read_text())
    leader = leader_of(tmp_path, driver, name)
    assert command != leader
    os.kill(leader, signal.SIGKILL)
    until("the wrapper never ended", lambda: is_gone(leader))
    assert not is_gone(command)
    assert driver.ended(name).reason == "ProcessVanished"
    assert is_gone(command)


@pytest.mark.parametrize("code", [0, 3])
def test_what_left_the_session_of_a_run_that_ended_meanwhile_ends_before_it_is_over(tmp_path, driver, code):
    left = "trap '' TERM; echo $$ >pid; while :; do sleep 0.05; done"
    script = f'setsid sh -c "$0" & while [ ! -s pid ]; do sleep 0.01; done; echo here; exit {code}'
    name = killed_host_with(tmp_path, driver, "sh", "-c", script, left)
    pid = int((folder_of(tmp_path, driver, name) / "work" / "pid").read_text())
    until("it never ended", (folder_of(tmp_path, driver, name) / "exit").exists)
    assert not is_gone(pid)
    assert driver.ended(name).exit_code == code
    assert is_gone(pid)


def test_a_number_that_is_another_process_by_now_is_not_the_run(tmp_path, driver, stranger):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo here; sleep 600")
    kill_session(leader_of(tmp_path, driver, name))
    (folder_of(tmp_path, driver, name) / "started").write_text(f"{stranger.pid} {boot_id()}\n")
    assert driver.ended(name).reason == "ProcessVanished"
    driver.worker.stop(driver.study_id, name)


def test_after_a_restart_of_the_machine_nothing_is_alive(tmp_path, driver, stranger):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo here; sleep 600")
    kill_session(leader_of(tmp_path, driver, name))
    (folder_of(tmp_path, driver, name) / "started").write_text(f"{stranger.pid} 0123-another-boot\n")
    status = driver.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "ProcessVanished")
    assert "restarted" in status.message


def test_a_wrapper_that_had_not_written_down_who_it_is_is_found(tmp_path, driver):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo here; while [ ! -e go ]; do sleep 0.01; done")
    (folder_of(tmp_path, driver, name) / "started").write_text("")
    assert driver.status(name).phase is RunPhase.RUNNING
    (folder_of(tmp_path, driver, name) / "work" / "go").touch()
    assert driver.ended(name).phase is RunPhase.SUCCEEDED


def test_a_wrapper_that_died_before_it_wrote_down_who_it_is_has_executed_nothing(tmp_path, driver):
    run = driver.run("sh", "-c", "echo executed")
    folder = folder_of(tmp_path, driver, run.name)
    folder.mkdir(parents=True)
    (folder / "started").touch()
    assert driver.ended(run.name).reason == "StartFailed"
    driver.worker.create(run)
    assert driver.texts(run.name) == []


def test_an_exit_code_that_was_not_written_whole_is_none(tmp_path, driver):
    name = killed_host_with(tmp_path, driver, "sh", "-c", "echo here; sleep 600")
    kill_session(leader_of(tmp_path, driver, name))
    (folder_of(tmp_path, driver, name) / "exit").write_text("1")
    status = driver.ended(name)
    assert (status.reason, status.exit_code) == ("ProcessVanished", None)


def test_a_create_that_broke_off_before_the_wrapper_is_made_good(tmp_path, driver):
    run = driver.run("sh", "-c", "echo once")
    (folder_of(tmp_path, driver, run.name) / "work").mkdir(parents=True)
    assert driver.statuses() == {}
    driver.worker.create(run)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
    assert driver.texts(run.name) == ["once"]


def test_a_create_that_broke_off_between_the_folder_and_what_is_in_it_is_made_good(tmp_path, driver):
    run = driver.run("sh", "-c", "echo once")
    folder_of(tmp_path, driver, run.name).mkdir(parents=True)
    driver.worker.create(run)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
    assert driver.texts(run.name) == ["once"]


def test_of_two_wrappers_one_executes_the_command(tmp_path, driver):
    run = driver.run("sh", "-c", "echo once; sleep 0.1")
    pids = [spawn(tmp_path, driver, run) for _ in range(4)]
    codes = sorted(exit_code(pid) for pid in pids)
    assert codes == [-signal.SIGKILL, 125, 125, 125]
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
    assert driver.texts(run.name) == ["once"]


def test_a_create_that_loses_to_an_earlier_wrapper_adopts_its_run(tmp_path, driver):
    run = driver.run("sh", "-c", "echo once; sleep 0.2; exit 3")
    pid = spawn(tmp_path, driver, run)
    driver.worker.create(run)
    status = driver.ended(run.name)
    assert (status.phase, status.exit_code) == (RunPhase.FAILED, 3)
    assert driver.texts(run.name) == ["once"]
    exit_code(pid)


def test_a_wrapper_that_comes_after_the_fence_executes_nothing(tmp_path, driver):
    run = driver.run("sh", "-c", "echo executed")
    folder_of(tmp_path, driver, run.name).mkdir(parents=True)
    (folder_of(tmp_path, driver, run.name) / "work").mkdir()
    driver.worker.stop(driver.study_id, run.name)
    assert driver.status(run.name).reason == "StartFailed"
    assert exit_code(spawn(tmp_path, driver, run)) == 125
    assert driver.texts(run.name) == []


def test_a_wrapper_that_comes_after_its_study_was_deleted_executes_nothing(tmp_path, driver):
    marker = tmp_path / "executed"
    run = driver.run("touch", str(marker))
    pid = spawn(tmp_path, driver, run)
    os.kill(pid, signal.SIGSTOP)
    # Until it has stopped it may still write, or have ended meanwhile.
    until("the wrapper goes on", lambda: psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE))
    if not (folder_of(tmp_path, driver, run.name) / "started").exists():
        driver.worker.delete_study(driver.study_id)
        os.kill(pid, signal.SIGCONT)
        assert exit_code(pid) == 125
        assert not marker.exists()
    else:
        os.kill(pid, signal.SIGCONT)
        exit_code(pid)


def test_managers_that_race_to_create_the_same_runs_execute_each_once(tmp_path, driver, new_host):
    hosts = [new_host(), new_host()]
    trials = [new_id() for _ in range(25)]
    command = json.dumps(["sh", "-c", "echo $TRIAL_ID >>../../log; echo once"])
    for trial_id in trials:
        for host in hosts:
            host.send("create", driver.study_id, trial_id, command)
    for host in hosts:
        assert [host.answer() for _ in trials] == ["ok"] * len(trials)
    for trial_id in trials:
        assert driver.ended(run_name(trial_id, 1)).phase is RunPhase.SUCCEEDED
        assert driver.texts(run_name(trial_id, 1)) == ["once"]
    written = (tmp_path / "runs" / driver.study_id / "log").read_text().split()
    assert sorted(written) == sorted(trials)
    expected = sorted(f"{run_name(trial_id, 1)}:succeeded" for trial_id in trials)
    for host in hosts:
        until("a manager disagrees", lambda h=host: sorted(h.ask("list", driver.study_id).split()) == expected)


def test_a_late_create_of_a_run_that_is_history_executes_nothing(tmp_path, driver, host):
    run = driver.run("sh", "-c", "echo once")
    driver.worker.create(run)
    driver.ended(run.name)
    driver.worker.delete(driver.study_id, run.name)
    driver.worker.create(run)
    host.create(driver, run.trial_id, *run.command)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
    assert driver.texts(run.name) == ["once"]


def test_a_run_that_is_history_is_known_again_to_who_stops_it(tmp_path, driver, host):
    run = driver.run("sh", "-c", "echo once")
    driver.worker.create(run)
    driver.ended(run.name)
    driver.worker.delete(driver.study_id, run.name)
    driver.worker.stop(driver.study_id, run.name)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
    assert driver.texts(run.name) == ["once"]
    assert host.ask("list", driver.study_id) == f"{run.name}:succeeded"
    driver.worker.delete(driver.study_id, run.name)
    assert driver.statuses() == {}
    after = driver_of(LocalWorker(tmp_path), driver.study_id)
    assert after.statuses() == {}
    after.worker.close()


def test_a_frozen_manager_and_its_successor_agree(tmp_path, driver, host):
    name = host.create(driver, new_id(), "sh", "-c", "while [ ! -e go ]; do sleep 0.01; done; exit 6")
    host.signal(signal.SIGSTOP)
    driver.until("the run never started", lambda: name in driver.statuses())
    assert driver.status(name).phase is RunPhase.RUNNING
    (folder_of(tmp_path, driver, name) / "work" / "go").touch()
    # The wrapper waits, dead, for its frozen parent to collect it.
    assert driver.ended(name).exit_code == 6
    host.signal(signal.SIGCONT)
    until("the thawed manager did not notice", lambda: host.ask("list", driver.study_id) == f"{name}:failed")


def test_closing_lets_the_runs_go_on(tmp_path, driver):
    worker = LocalWorker(tmp_path)
    other = driver_of(worker, driver.study_id)
    name = other.start("sh", "-c", "echo here; sleep 600")
    other.printed(name, "here")
    worker.close()
    worker.close()
    assert driver.status(name).phase is RunPhase.RUNNING
    assert not is_gone(leader_of(tmp_path, driver, name))


def test_a_study_that_was_deleted_by_another_manager_cannot_be_begun(tmp_path, driver, host):
    late = driver.run("sh", "-c", "echo executed")
    driver.ended(driver.start("true"))
    assert host.ask("delete-study", driver.study_id) == "ok"
    with pytest.raises(FailedPreconditionError):
        driver.worker.create(late)
    driver.worker.stop(driver.study_id, late.name)
    assert not (tmp_path / "runs" / driver.study_id).is_dir()


def test_a_run_that_another_manager_makes_later_is_known_when_it_is_asked_for(tmp_path, driver, host):
    driver.ended(driver.start("true"))
    name = host.create(driver, new_id(), "sleep", "600")
    driver.worker.stop(driver.study_id, name)
    assert driver.ended(name).phase is RunPhase.FAILED


def test_a_run_that_another_manager_makes_later_is_seen_in_time(tmp_path, host):
    worker = LocalWorker(tmp_path, stop_grace_s=0.5, rescan_s=0.1)
    driver = driver_of(worker)
    driver.ended(driver.start("true"))
    name = host.create(driver, new_id(), "sleep", "600")
    driver.until("it is not seen", lambda: name in driver.statuses())
    worker.delete(driver.study_id, name)
    driver.until("it never ended", lambda: name not in driver.statuses())
    worker.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_manager_that_is_killed_at_any_moment_leaves_nothing_undone_or_done_twice(tmp_path, driver, new_host, seed):
    random = Random(seed)
    runs = [driver.run("sh", "-c", "echo $TRIAL_ID >>../../log; echo once") for _ in range(12)]
    for _ in range(3):
        host = new_host()
        for run in random.sample(runs, len(runs)):
            host.send("create", driver.study_id, run.trial_id, json.dumps(run.command))
        time.sleep(random.uniform(0, 0.02))
        host.kill()
    for run in runs:
        driver.worker.create(run)
    for run in runs:
        assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
        assert driver.texts(run.name) == ["once"]
    written = (tmp_path / "runs" / driver.study_id / "log").read_text().split()
    assert sorted(written) == sorted(run.trial_id for run in runs)


def test_a_stop_that_races_with_a_create_leaves_nothing_running(tmp_path, driver, new_host):
    creator, stopper = new_host(), new_host()
    runs = [driver.run("sleep", "600") for _ in range(25)]
    for run in runs:
        creator.send("create", driver.study_id, run.trial_id, json.dumps(run.command))
        stopper.send("stop", driver.study_id, run.trial_id)
    for host in (creator, stopper):
        assert [host.answer() for _ in runs] == ["ok"] * len(runs)
    for run in runs:
        assert driver.ended(run.name).phase is RunPhase.FAILED
