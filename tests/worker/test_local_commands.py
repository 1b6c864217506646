"""What can be started, what a run that could not be started says, and what an exit code means."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace

import pytest

from katib.domain.errors import InvalidArgumentError, UnavailableError
from katib.domain.names import new_id
from katib.domain.pod import PodSettings
from katib.domain.study import Mount
from katib.worker.base import RunPhase, WorkerSettings
from katib.worker.local.diagnosis import OutOfMemoryCount, explain
from katib.worker.local.worker import LocalWorker, create_worker
from tests.worker.local import SPEC, driver_of, folder_of


@pytest.fixture
def driver(tmp_path):
    worker = create_worker(WorkerSettings(tmp_path))
    yield driver_of(worker)
    worker.close()


def test_an_option_is_refused_because_there_is_none(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"namespace.*knows no options"):
        create_worker(WorkerSettings(tmp_path, {"namespace": "x"}))


def refused(driver, run) -> str:
    driver.worker.create(run)
    status = driver.status(run.name)
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "StartFailed", None)
    assert driver.worker.output(driver.study_id, run.name, "", 100).end
    return status.message


def test_a_program_that_is_not_installed_is_named(driver):
    assert "'trainer' was not found in PATH" in refused(driver, driver.run("trainer", "--x"))


def test_a_program_that_is_not_there_is_named_with_where_it_was_looked_for(driver):
    run = driver.run("./train.sh")
    assert f"{run.name}/work/./train.sh" in refused(driver, run)


def test_a_program_that_may_not_be_executed_says_what_to_do(driver, tmp_path):
    script = tmp_path / "train.sh"
    script.write_text("#!/bin/sh\n")
    assert "chmod +x" in refused(driver, driver.run(str(script)))


def test_a_folder_is_no_program(driver, tmp_path):
    assert "is a directory" in refused(driver, driver.run(str(tmp_path)))


def test_a_working_dir_that_does_not_exist_is_named(driver, tmp_path):
    study = replace(SPEC, working_dir=str(tmp_path / "nowhere"))
    message = refused(driver, driver.run("true", study=study))
    assert str(tmp_path / "nowhere") in message
    assert "does not exist" in message


def test_a_working_dir_that_is_a_file_is_named(driver, tmp_path):
    (tmp_path / "file").touch()
    study = replace(SPEC, working_dir=str(tmp_path / "file"))
    assert "is not a directory" in refused(driver, driver.run("true", study=study))


def test_no_command_is_no_run(driver):
    assert "no command" in refused(driver, driver.run())


@pytest.mark.parametrize("word", ["a\0b", "\ud800"])
def test_what_no_process_can_be_given_is_a_failed_run(driver, word):
    assert "no process can be given" in refused(driver, driver.run("echo", word))


def test_what_is_too_long_for_a_process_is_a_failed_run(driver):
    assert "too long" in refused(driver, driver.run("echo", *["x" * 100_000] * 100))


def test_a_study_gives_its_trials_variables_but_never_katibs_own(driver):
    mine = {"DATA": "/data", "TRIAL_ID": "mine", "KATIB_ATTEMPT": "9", "KATIB_NEW": "mine"}
    pod = PodSettings(environment=mine, requests={"cpu": "64"})
    script = 'echo "$DATA $TRIAL_ID $KATIB_ATTEMPT${KATIB_NEW-}"'
    run = driver.run("sh", "-c", script, study=replace(SPEC, pod=pod))
    driver.worker.create(run)
    driver.ended(run.name)
    (line,), _ = driver.read(run.name)
    assert line.text == f"/data {run.trial_id} 1"


def test_what_the_manager_shows_others_is_not_in_the_environment_of_trials(tmp_path, monkeypatch):
    secrets = ("KATIB_DATABASE", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    for name in (*secrets, "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "hunter2")
    worker = create_worker(WorkerSettings(tmp_path))
    driver = driver_of(worker)
    names = [text.partition("=")[0] for text in driver.texts(driver.start("env"))]
    worker.close()
    assert "MLFLOW_TRACKING_URI" in names
    assert not set(secrets) & set(names)


def test_a_name_that_no_environment_can_have_is_a_failed_run(driver):
    assert "no process can be given" in refused(driver, driver.run("echo", environment={"a=b": "c"}))


def test_a_working_dir_is_where_the_command_runs(driver, tmp_path):
    place = tmp_path / "a b"
    place.mkdir()
    script = place / "train.sh"
    script.write_text("#!/bin/sh\npwd; echo $0 $1\n")
    script.chmod(0o755)
    run = driver.run("./train.sh", study=replace(SPEC, working_dir=str(place)), arguments=["lr=1"])
    driver.worker.create(run)
    driver.ended(run.name)
    assert driver.texts(run.name) == [str(place), "./train.sh lr=1"]


@pytest.mark.parametrize("name", ["python", "python3"])
def test_python_is_the_interpreter_of_katib(driver, name, tmp_path, monkeypatch):
    shim = tmp_path / "shims" / name
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho shim\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    worker = LocalWorker(tmp_path)
    driver = driver_of(worker)
    for command in ((name, "-c"), ("sh", "-c", f'exec {name} -c "$@"', "sh")):
        run = driver.start(*command, "import sys; print(sys.prefix)")
        driver.ended(run)
        assert driver.texts(run) == [sys.prefix]
    worker.close()


def test_a_program_without_a_first_line_is_run_by_the_shell_as_everywhere(driver, tmp_path):
    script = tmp_path / "train.sh"
    script.write_text("echo $1\n")
    script.chmod(0o755)
    name = driver.start(str(script), "x")
    driver.ended(name)
    assert driver.texts(name) == ["x"]


def test_an_interpreter_that_is_not_there_is_a_start_that_failed(driver, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)
    status = driver.ended(driver.start(str(script)))
    assert (status.phase, status.reason, status.exit_code) == (RunPhase.FAILED, "StartFailed", 127)


def test_a_data_folder_that_cannot_be_is_unavailable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="data folder"):
        LocalWorker(tmp_path / "file")


def test_a_folder_that_cannot_be_written_now_is_unavailable_and_the_run_can_be_created_later(driver, tmp_path):
    run = driver.run("echo", "x")
    runs = tmp_path / "runs"
    away = tmp_path / "away"
    runs.rename(away)
    runs.symlink_to("/proc")  # in which nobody can make a folder
    with pytest.raises(UnavailableError):
        driver.worker.create(run)
    runs.unlink()
    away.rename(runs)
    driver.worker.create(run)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED


# What a study may ask for


def test_a_study_without_a_command_is_refused(driver):
    (violation,) = driver.worker.check(replace(SPEC, command=()))
    assert violation.field == "command"


def test_a_study_that_its_clients_run_needs_no_command(driver):
    assert driver.worker.check(replace(SPEC, algorithm="", command=())) == []


def test_a_working_dir_must_not_depend_on_where_the_manager_was_started(driver):
    (violation,) = driver.worker.check(replace(SPEC, working_dir="here"))
    assert violation.field == "working_dir"
    assert driver.worker.check(replace(SPEC, working_dir="/here")) == []


def test_what_only_a_container_needs_is_not_looked_at(driver, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    study = replace(
        SPEC, image="katib/mxnet", scheduler="default", gpu=2, mount=Mount("pvc", "/nfs"), pull_secret="secret"
    )
    assert driver.worker.check(study) == []
    worker = LocalWorker(tmp_path)
    driver = driver_of(worker)
    run = driver.run("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", study=study)
    worker.create(run)
    driver.ended(run.name)
    assert driver.texts(run.name) == ["1,2"]
    worker.close()


def test_placement_tells_folders_apart_however_long_their_names_are(tmp_path):
    long = tmp_path / ("x" * 200)
    workers = [LocalWorker(tmp_path), LocalWorker(long), LocalWorker(long / "y")]
    placements = [worker.placement for worker in workers]
    assert len(set(placements)) == 3
    assert all(placement.startswith("local:") and len(placement) <= 200 for placement in placements)
    for worker in workers:
        worker.close()


def test_a_study_that_was_deleted_takes_its_files_with_it(driver, tmp_path):
    name = driver.start("sh", "-c", "mkdir -p a/b; echo x >a/b/c")
    driver.ended(name)
    assert folder_of(tmp_path, driver, name).is_dir()
    driver.worker.delete_study(driver.study_id)
    assert [path for path in (tmp_path / "runs").rglob("*") if path.is_dir()] == []


def test_the_log_of_a_deleted_run_stays(driver):
    name = driver.start("echo", "x")
    driver.ended(name)
    driver.worker.delete(driver.study_id, name)
    assert driver.worker.log(driver.study_id, name, 0, 100).data == b"x\n"
    assert driver.worker.log(driver.study_id, name, 0, 100).finished
    assert driver.statuses() == {}


def test_a_run_of_another_study_is_not_found_under_this_one(driver):
    name = driver.start("true")
    driver.ended(name)
    driver.worker.stop(new_id(), name)
    assert driver.status(name).phase is RunPhase.SUCCEEDED


# What an exit code means


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (1, "ExitCode", "exited with code 1"),
        (125, "ExitCode", "exited with code 125"),
        (126, "StartFailed", "could not be executed"),
        (127, "StartFailed", "was not found"),
        (128, "ExitCode", "exited with code 128"),
        (137, "Signal", "killed by SIGKILL (9)"),
        (139, "Signal", "killed by SIGSEGV (11)"),
        (143, "Signal", "killed by SIGTERM (15)"),
        (128 + 40, "Signal", "(40)"),
        (255, "ExitCode", "exited with code 255"),
    ],
)
def test_a_code_is_explained(code, reason, words):
    verdict = explain(code)
    assert (verdict.code, verdict.reason) == (code, reason)
    assert words in verdict.message
    assert len(verdict.message) > len(words)


def test_success_needs_no_words():
    assert (explain(0).reason, explain(0).message) == ("", "")


def test_every_signal_has_an_explanation():
    for number in signal.valid_signals():
        assert explain(128 + number).reason == "Signal"


def test_a_kernel_that_runs_out_of_memory_is_noticed_for_a_while(tmp_path):
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free 5\noom_kill 3\nother 1\n")
    count = OutOfMemoryCount(str(vmstat))
    assert not count.happened()
    vmstat.write_text("nr_free 5\noom_kill 4\nother 1\n")
    assert count.happened()
    count.look()
    assert count.happened(), "the look that saw it first must not hide it"
    count.look()
    assert not count.happened()


def test_a_kernel_that_does_not_count_says_nothing(tmp_path):
    assert not OutOfMemoryCount(str(tmp_path / "nothing")).happened()
    (tmp_path / "vmstat").write_text("nr_free 5\n")
    assert not OutOfMemoryCount(str(tmp_path / "vmstat")).happened()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor")
def test_a_trial_may_run_on_every_processor_also_when_its_starter_is_kept_on_one(driver):
    run = driver.run("python", "-c", "import os; print(*sorted(os.sched_getaffinity(0)))")

    def create() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        driver.worker.create(run)

    starter = threading.Thread(target=create)
    starter.start()
    starter.join()
    driver.ended(run.name)
    assert driver.texts(run.name) == [" ".join(map(str, sorted(os.sched_getaffinity(0))))]


def test_no_run_is_started_on_a_disk_without_room_and_it_can_be_created_when_there_is_some(tmp_path):
    full = LocalWorker(tmp_path, room=2**62)
    driver = driver_of(full)
    run = driver.run("echo", "x")
    with pytest.raises(UnavailableError, match=r"only \d+ MiB are free on .*/runs: make room, as no"):
        full.create(run)
    assert full.list(driver.study_id) == []
    full.close()
    worker = LocalWorker(tmp_path)
    worker.create(run)
    again = driver_of(worker, driver.study_id)
    assert again.ended(run.name).phase is RunPhase.SUCCEEDED
    assert again.texts(run.name) == ["x"]
    worker.close()


def test_a_program_that_fails_on_a_full_disk_says_so(driver, monkeypatch):
    name = driver.start("sh", "-c", "exit 3")
    driver.ended(name)
    assert driver.status(name).message == "exited with code 3; see the end of its output"
    monkeypatch.setattr("katib.worker.local.runs.is_full", lambda _: True)
    name = driver.start("sh", "-c", "exit 3")
    assert driver.ended(name).message == "exited with code 3; its disk was full at that time: make room"
    assert driver.ended(driver.start("true")).message == ""


def test_a_program_that_failed_long_ago_is_not_blamed_on_a_disk_that_is_full_now(driver, tmp_path, monkeypatch):
    name = driver.start("sh", "-c", "exit 3")
    driver.ended(name)
    past = time.time() - 3600
    os.utime(folder_of(tmp_path, driver, name) / "exit", (past, past))
    monkeypatch.setattr("katib.worker.local.runs.is_full", lambda _: True)
    again = LocalWorker(tmp_path)
    assert driver_of(again, driver.study_id).status(name).message == "exited with code 3; see the end of its output"
    again.close()


def test_a_file_system_that_does_not_say_what_is_free_is_not_full(tmp_path, monkeypatch):
    found = os.statvfs(tmp_path)
    silent = os.statvfs_result([found.f_bsize, found.f_frsize, 0, 0, 0, *list(found)[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _: silent)
    worker = LocalWorker(tmp_path)
    driver = driver_of(worker)
    assert driver.ended(driver.start("sh", "-c", "exit 3")).message == "exited with code 3; see the end of its output"
    worker.close()


def test_a_run_that_has_been_started_is_known_again_on_a_full_disk(tmp_path):
    worker = LocalWorker(tmp_path)
    driver = driver_of(worker)
    run = driver.run("echo", "x")
    worker.create(run)
    driver.ended(run.name)
    worker.close()
    full = LocalWorker(tmp_path, room=2**62)
    full.create(run)
    assert driver_of(full, driver.study_id).ended(run.name).phase is RunPhase.SUCCEEDED
    full.close()
