"""Removing what a trial has put in its folders."""

import os

import pytest

from katib.worker.local.removal import remove_tree
from tests.worker.hasty import driver, worker
from tests.worker.local import folder_of

__all__ = ["driver", "worker"]

# More levels than Python calls go deep, and a path that is longer than any call takes.
LEVELS = 1500
NAME = "a folder"


def nest(folder, levels=LEVELS):
    """Folders within folders, with a file in each."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(NAME, dir_fd=at)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
        inner = os.open(NAME, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


@pytest.mark.long
def test_folders_nested_deeper_than_calls_and_longer_than_paths_are_removed(tmp_path):
    path = tmp_path / "model"
    for branch in ("a", "b"):
        (path / branch).mkdir(parents=True)
        nest(path / branch)
    remove_tree(str(path))
    assert os.listdir(tmp_path) == []


def test_what_links_point_to_stays(tmp_path):
    mine, path = tmp_path / "mine", tmp_path / "model"
    (mine / "data").mkdir(parents=True)
    (path / "inner").mkdir(parents=True)
    (path / "link").symlink_to(mine)
    (path / "inner" / "link").symlink_to(mine)
    os.mkfifo(path / "inner" / "pipe")
    remove_tree(str(path))
    assert os.listdir(tmp_path) == ["mine"]
    assert os.listdir(mine) == ["data"]
    (tmp_path / "link").symlink_to(mine)
    with pytest.raises(NotADirectoryError):
        remove_tree(str(tmp_path / "link"))
    assert os.listdir(mine) == ["data"]


def test_what_cannot_be_removed_keeps_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model"
    nest(tmp_path, 1)
    (tmp_path / NAME).rename(path)
    nest(path, 3)
    (path / NAME / "stuck").touch()
    unlink = os.unlink

    def refusing(name, **options):
        if name == "stuck":
            raise PermissionError(1, "not permitted")
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", refusing)
    with pytest.raises(PermissionError, match="not permitted"):
        remove_tree(str(path))
    assert [name for _, _, names in os.walk(path) for name in names] == ["stuck"]
    monkeypatch.undo()
    remove_tree(str(path))
    assert not path.exists()


@pytest.mark.long
def test_a_model_and_a_study_of_a_trial_that_nests_its_folders_deeply_are_removed(tmp_path, driver):
    name = driver.start("mkdir", "../model")
    driver.ended(name)
    folder = folder_of(tmp_path, driver, name)
    nest(folder / "model")
    nest(folder / "work")
    driver.worker.remove_model(driver.study_id, str(folder / "model"))
    assert not (folder / "model").exists()
    driver.worker.delete_study(driver.study_id)
    assert os.listdir(tmp_path / "runs") == [driver.study_id]
