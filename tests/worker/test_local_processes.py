"""What a local run is as a process: what it is given, what becomes of what it starts, what is left of it."""

import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from concurrent import futures

import grpc
import psutil
import pytest

from katib.api.descriptors import limit_given
from katib.worker.base import RunPhase
from katib.worker.local.worker import LocalWorker
from tests.worker.hasty import driver, worker
from tests.worker.local import driver_of, folder_of, is_gone, leader_of, until

__all__ = ["driver", "worker"]


def pid_in(tmp_path, driver, name, file) -> int:
    path = folder_of(tmp_path, driver, name) / "work" / file
    until(f"{file} was never written", lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def alive_with_trial(name: str) -> list[int]:
    trial = name.partition("-")[0]
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TRIAL_ID") == trial and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


# What it is given


def test_a_run_has_three_files_open_and_no_other(tmp_path, driver):
    inherited = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inherited, True)  # noqa: FBT003
    late = LocalWorker(tmp_path)  # as if the manager had been started with that file open
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("localhost:0")
    server.start()
    channel = grpc.insecure_channel(f"localhost:{port}")
    grpc.channel_ready_future(channel).result(10)
    database = sqlite3.connect(tmp_path / "database")
    database.execute("CREATE TABLE t (x)")
    listener = socket.create_server(("localhost", 0))
    try:
        # Without a pipe, whose ends the shell would have open itself.
        name = driver.start("sh", "-c", "ls -l /proc/$$/fd; true")
        driver.ended(name)
        found = [re.search(r"\d+ -> .*", text) for text in driver.texts(name)]
        assert [match[0] for match in found if match] == [
            "0 -> /dev/null",
            f"1 -> {folder_of(tmp_path, driver, name)}/output",
            f"2 -> {folder_of(tmp_path, driver, name)}/output",
        ]
    finally:
        listener.close()
        database.close()
        channel.close()
        server.stop(None).wait(10)
        late.close()
        os.close(inherited)


def test_a_run_begins_with_every_signal_as_usual(driver):
    # Python itself ignores SIGPIPE, and a thread of the manager may have blocked anything.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        name = driver.start("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGUSR1})
    driver.ended(name)
    masks = [int(line.split()[1], 16) for line in driver.texts(name)]
    known = sum(1 << (number - 1) for number in signal.valid_signals())
    assert [mask & known for mask in masks] == [0, 0]


def test_a_run_may_have_as_many_files_open_as_the_manager_was_started_to_have(driver):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 100, hard))
    try:
        name = driver.start("sh", "-c", "ulimit -Sn; ulimit -Hn")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    driver.ended(name)
    assert driver.texts(name) == [limit_given(), str(hard)]


def test_a_run_works_in_a_folder_of_its_own(tmp_path, driver):
    name = driver.start("sh", "-c", "pwd; echo x >made")
    driver.ended(name)
    work = folder_of(tmp_path, driver, name) / "work"
    assert driver.texts(name) == [str(work)]
    assert (work / "made").exists()


def test_a_data_folder_may_have_any_name(tmp_path):
    data = tmp_path / "a b'c\"d $(touch x) ; é\n"
    worker = LocalWorker(data)
    driver = driver_of(worker)
    name = driver.start("sh", "-c", "echo fine")
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    assert driver.texts(name) == ["fine"]
    worker.close()


def test_a_relative_data_folder_is_that_of_its_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worker = LocalWorker("data")
    driver = driver_of(worker)
    monkeypatch.chdir("/")
    name = driver.start("true")
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    assert folder_of(tmp_path / "data", driver, name).is_dir()
    worker.close()


def test_metrics_come_while_a_python_program_runs(driver):
    name = driver.start("python", "-c", "import time; print('loss=1'); time.sleep(600)")
    driver.printed(name, "loss=1")
    assert driver.status(name).phase is RunPhase.RUNNING


# What it starts


def test_a_background_process_does_not_keep_a_run_alive(tmp_path, driver):
    name = driver.start("sh", "-c", "sleep 600 & echo $! >pid; echo done")
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    assert driver.texts(name) == ["done"]
    pid = pid_in(tmp_path, driver, name, "pid")
    until("the background process was left", lambda: is_gone(pid))


@pytest.mark.long
@pytest.mark.parametrize(
    "leaving",
    ["", "setsid ", f"{sys.executable} -c 'import os, sys; os.setpgid(0, 0); os.execvp(sys.argv[1], sys.argv[1:])' "],
    ids=["in the group", "in a session of its own", "in a group of its own"],
)
def test_a_deep_tree_that_ignores_the_request_ends(tmp_path, driver, leaving):
    (tmp_path / "deep.sh").write_text("trap '' TERM HUP INT; echo $$ >deep; while :; do sleep 0.05; done")
    run = driver.run("sh", "-c", f"trap '' TERM; {leaving}sh -c 'sh {tmp_path}/deep.sh & wait' & wait; sleep 600")
    driver.worker.create(run)
    deep = pid_in(tmp_path, driver, run.name, "deep")
    driver.worker.stop(driver.study_id, run.name)
    assert driver.ended(run.name).phase is RunPhase.FAILED
    assert is_gone(deep)
    assert alive_with_trial(run.name) == []


def test_a_process_with_an_empty_environment_ends_with_its_run(tmp_path, driver):
    name = driver.start("env", "-i", "/bin/sh", "-c", "trap '' TERM; echo $$ >pid; while :; do sleep 0.05; done")
    pid = pid_in(tmp_path, driver, name, "pid")
    driver.worker.stop(driver.study_id, name)
    driver.ended(name)
    assert is_gone(pid)


@pytest.mark.slow
def test_a_run_is_stopped_at_any_moment_of_its_start(driver):
    # A SIGTERM may meet the shell before its trap, between the trap and the command, or the command.
    for _ in range(30):
        name = driver.start("sleep", "600")
        driver.worker.stop(driver.study_id, name)
        status = driver.ended(name)
        assert status.phase is RunPhase.FAILED
        assert "asked to end" in status.message or "stopped before" in status.message


def test_only_the_run_that_is_stopped_ends(tmp_path, driver):
    stopped, other = (driver.start("sh", "-c", "echo $$ >pid; exec sleep 600") for _ in range(2))
    pid = pid_in(tmp_path, driver, other, "pid")
    pid_in(tmp_path, driver, stopped, "pid")
    driver.worker.stop(driver.study_id, stopped)
    driver.ended(stopped)
    assert driver.status(other).phase is RunPhase.RUNNING
    assert not is_gone(pid)


def test_a_wrapper_that_is_killed_takes_its_command_with_it(tmp_path, driver):
    name = driver.start("sh", "-c", "echo $$ >pid; exec sleep 600")
    pid = pid_in(tmp_path, driver, name, "pid")
    os.kill(leader_of(tmp_path, driver, name), signal.SIGKILL)
    status = driver.ended(name)
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "Signal", 137)
    assert is_gone(pid)


def test_a_process_that_signals_its_whole_group_still_leaves_its_exit_code(driver):
    for word, code in (("INT", 130), ("HUP", 129), ("QUIT", 131), ("TERM", 143)):
        name = driver.start("sh", "-c", f"ulimit -c 0; kill -{word} 0; sleep 600")
        assert driver.ended(name).exit_code == code


def test_an_exit_code_that_cannot_be_written_down_is_known_to_the_parent(driver):
    # Writing into it fails as on a full disk.
    name = driver.start("sh", "-c", "ln -s /dev/full ../exit; sleep 600 & exit 5")
    status = driver.ended(name)
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "ExitCode", 5)
    assert alive_with_trial(name) == []


def test_a_run_that_removes_its_own_folder_ends_all_the_same(tmp_path, driver):
    name = driver.start("sh", "-c", "rm -r ../../$TRIAL_ID-1; exit 6")
    assert driver.ended(name).exit_code == 6
    assert driver.texts(name) == []


def test_the_shell_adds_nothing_to_the_output(driver):
    for command in ("printf a; kill -KILL $$", "printf a; kill -SEGV $$", "printf a; exec nothing-of-that-name 2>&-"):
        name = driver.start("sh", "-c", f"ulimit -c 0; {command}")
        driver.ended(name)
        assert driver.texts(name) == ["a"]


# What is left of it


def test_no_zombies_and_no_handles_are_left(worker, driver):
    own = psutil.Process()
    before = own.num_fds()
    # Workers of other tests were closed over runs that went on; this process is still their parent.
    children = {child.pid for child in own.children()}
    for _ in range(20):
        driver.start("true")
    for name in driver.statuses():
        driver.ended(name)
        driver.read(name)
        worker.delete(driver.study_id, name)
    assert {child.pid for child in own.children()} - children == set()
    assert own.num_fds() == before


def test_a_worker_gives_back_its_handles_and_its_thread(tmp_path):
    own = psutil.Process()
    threads, handles = threading.active_count(), own.num_fds()
    worker = LocalWorker(tmp_path, stop_grace_s=0.5)
    assert threading.active_count() > threads
    driver = driver_of(worker)
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    worker.close()
    assert (threading.active_count(), own.num_fds()) == (threads, handles)
    successor = driver_of(LocalWorker(tmp_path), driver.study_id)
    successor.worker.delete(driver.study_id, name)
    successor.until("it never ended", lambda: not successor.statuses())
    successor.worker.close()
    # The first worker was the parent, and nobody else may collect its child.
    os.waitpid(leader_of(tmp_path, driver, name), 0)


@pytest.mark.slow
def test_a_thousand_runs_give_each_of_their_outputs_once(worker, driver):
    left, alive, seen, most = 1000, {}, [], 0
    while left or alive:
        while left and len(alive) < 8:
            run = driver.run("echo", "trial={{TRIAL_ID}}")
            worker.create(run)
            alive[run.name] = run.trial_id
            left -= 1
        most = max(most, len(alive))
        driver.woken.wait(1)
        driver.woken.clear()
        for status in worker.list(driver.study_id):
            if status.phase.ended:
                assert status.phase is RunPhase.SUCCEEDED, status
                lines, _ = driver.read(status.name)
                assert [line.text for line in lines] == [f"trial={alive.pop(status.name)}"]
                seen.append(status.name)
                worker.delete(driver.study_id, status.name)
    assert len(set(seen)) == len(seen) == 1000
    assert most == 8
    assert driver.statuses() == {}


def test_a_parameter_that_looks_like_an_option_or_a_program_is_neither(driver):
    for program in ("exit", "eval", "cd", "export", ":", "a=b", "-c", "$(echo true)", "true;true"):
        name = driver.start(program, "3")
        status = driver.ended(name)
        assert (status.phase, status.reason) == (RunPhase.FAILED, "StartFailed"), program
    name = driver.start("echo", "-n", "x", ";", "exit", "3")
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    assert driver.texts(name) == ["x ; exit 3"]


def test_nothing_in_the_environment_disturbs_the_wrapper(tmp_path, monkeypatch):
    for name, value in {
        "_katib_stop": "1",
        "_katib_run": "/nowhere",
        "CDPATH": "/",
        "IFS": "/",
        "ENV": "/nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    worker = LocalWorker(tmp_path)
    driver = driver_of(worker)
    name = driver.start("sh", "-c", "env | grep _katib || echo clean")
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    assert driver.texts(name) == ["clean"]
    worker.close()


@pytest.mark.long
def test_secrets_of_the_manager_stay_with_it(tmp_path):
    script = (
        "import sys; from tests.worker.local import *; worker = LocalWorker(sys.argv[1]); driver = driver_of(worker)\n"
        "name = driver.start('env'); driver.ended(name); print('\\n'.join(driver.texts(name))); worker.close()"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "KATIB_DATABASE_URL": "hunter2", "KATIB_ANYTHING": "hunter2", "OTHER": "public"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    environment = dict(line.partition("=")[::2] for line in found.stdout.splitlines())
    assert "hunter2" not in found.stdout
    assert environment["OTHER"] == "public"
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["PATH"].split(":")[0] == os.path.dirname(sys.executable)
    assert {n for n in environment if n.startswith("KATIB_")} == {"KATIB_ATTEMPT", "KATIB_MODEL_DIR"}
