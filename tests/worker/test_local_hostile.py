"""A trial's command runs as the manager's user: what it does to its folder costs its own run its end, and nobody's else."""

import os

import pytest

from katib.domain.names import new_id, run_name
from katib.worker.base import RunPhase
from katib.worker.local import folder as folders
from katib.worker.local.worker import LocalWorker
from tests.worker.hasty import driver, worker
from tests.worker.local import driver_of, folder_of

__all__ = ["driver", "worker"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("mkfifo ../exit; kill -9 $PPID", "Signal"),
        ("mkfifo ../exit; exit 3", "ExitCode"),
        ("ln -s /dev/zero ../exit; exit 3", "ExitCode"),
        ("mkdir ../exit; exit 3", "ExitCode"),
    ],
)
def test_what_stands_in_the_place_of_an_exit_code_holds_up_nobody_and_is_said_where_nobody_saw_the_end(
    tmp_path, driver, command, reason
):
    name = driver.start("sh", "-c", command)
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, reason)
    assert driver.ended(driver.start("true")).phase is RunPhase.SUCCEEDED
    successor = driver_of(LocalWorker(tmp_path), driver.study_id)
    status = successor.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "EndUnknown")
    assert "its program has put something else in the place of started or exit" in status.message
    successor.worker.close()


def test_who_began_a_run_may_be_unknown_to_who_saw_its_end_and_to_who_did_not(tmp_path, driver):
    seen = driver.start("sh", "-c", "rm ../started; mkfifo ../started; kill -9 $PPID")
    assert driver.ended(seen).reason == "Signal"
    unseen = run_name(new_id(), 1)
    folder_of(tmp_path, driver, unseen).mkdir()
    os.mkfifo(folder_of(tmp_path, driver, unseen) / "started")
    successor = driver_of(LocalWorker(tmp_path), driver.study_id)
    assert "its program has put something else" in successor.ended(unseen).message
    successor.worker.close()


@pytest.mark.parametrize("made", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_stands_in_the_place_of_the_history_is_put_aside(tmp_path, driver, made):
    first = driver.start("true")
    driver.ended(first)
    made(folder_of(tmp_path, driver, first).parent / "taken")
    driver.worker.delete(driver.study_id, first)
    driver.until("it never became history", lambda: first not in driver.statuses())
    assert folders.is_taken(str(folder_of(tmp_path, driver, first)))


def test_a_history_that_grows_without_end_is_read_from_its_end(tmp_path, driver, monkeypatch):
    monkeypatch.setattr(folders, "_MAX_TAKEN", 100)
    name = driver.start("true")
    driver.ended(name)
    (folder_of(tmp_path, driver, name).parent / "taken").write_bytes(b"x\n" * 1000)
    driver.worker.delete(driver.study_id, name)
    assert folders.is_taken(str(folder_of(tmp_path, driver, name)))
    assert len(folders._read_all(str(folder_of(tmp_path, driver, name).parent / "taken"))) == 100


def test_a_pipe_that_an_earlier_attempt_has_made_for_the_next_ones_output_holds_up_nobody(tmp_path, driver):
    run = driver.run("true")
    name = run_name(run.trial_id, 1)
    folder = folder_of(tmp_path, driver, name)
    folder.mkdir(parents=True)
    os.mkfifo(folder / "output")
    driver.worker.create(run)
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "StartFailed")
