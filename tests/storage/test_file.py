"""An SQLite database is for its user alone, whatever the umask says."""

import logging
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.study import Study
from katib.manager.ports import Storage
from katib.manager.storage import open as opening
from katib.manager.storage.sql import file
from katib.manager.storage.sql.engine import parse_url
from tests.storage.builders import make_study


@pytest.fixture(autouse=True)
def generous_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_open_a_database_or_what_sqlite_puts_beside_it(tmp_path):
    storage = opening.open_storage(f"sqlite:///{tmp_path}/new/katib.db")
    try:
        modes = {path.name: _mode(path) for path in (tmp_path / "new").iterdir()}
        assert _mode(tmp_path / "new") == 0o700
        assert modes == {"katib.db": 0o600, "katib.db-wal": 0o600, "katib.db-shm": 0o600}
    finally:
        storage.close()


def test_one_that_every_user_could_open_is_closed_to_them_and_that_is_said(tmp_path, caplog):
    path = tmp_path / "katib.db"
    sqlite3.connect(path).close()
    path.touch(0o644)
    (tmp_path / "katib.db-wal").touch(0o644)
    file.prepare_file(parse_url(f"sqlite:///{path}"))
    assert (_mode(path), _mode(tmp_path / "katib.db-wal")) == (0o600, 0o600)
    assert f"every user of this machine could open {path};" in caplog.text


def test_what_somebody_has_opened_to_a_group_and_folders_that_were_there_stay_as_they_are(tmp_path, caplog):
    path = tmp_path / "katib.db"
    path.touch()
    path.chmod(0o640)
    tmp_path.chmod(0o755)
    file.prepare_file(parse_url(f"sqlite:///{path}"))
    assert (_mode(path), _mode(tmp_path)) == (0o640, 0o755)
    assert not caplog.records


def test_one_that_is_not_ours_to_close_is_warned_of(tmp_path, caplog, monkeypatch):
    path = tmp_path / "katib.db"
    path.touch(0o644)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(file.os, "chmod", refuse)
    caplog.set_level(logging.WARNING)
    file.prepare_file(parse_url(f"sqlite:///{path}"))
    assert f"every user of this machine can open {path}" in caplog.text
    assert "Operation not permitted" in caplog.text


def test_a_link_that_leads_to_no_file_yet_makes_one_that_is_private(tmp_path):
    (tmp_path / "katib.db").symlink_to(tmp_path / "elsewhere.db")
    file.prepare_file(parse_url(f"sqlite:///{tmp_path}/katib.db"))
    assert _mode(tmp_path / "elsewhere.db") == 0o600


# A file that goes while it is open


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[opening.Opening]:
    opened = opening.Opening(f"sqlite:///{tmp_path}/katib.db")
    opened.open()
    yield opened
    opened.storage.close()


def _create(storage: Storage) -> Study:
    study = make_study()
    storage.create_study(study)
    return study


def _until_there(opened: opening.Opening) -> bool:
    deadline = time.monotonic() + 10
    while not opened.there and time.monotonic() < deadline:
        time.sleep(0.01)
    return opened.there


@pytest.mark.parametrize("kind", ["a file", "a link to it", "its folder"])
def test_nothing_is_stored_in_a_file_that_was_moved_until_it_is_put_back(tmp_path: Path, kind: str) -> None:
    (tmp_path / "data").mkdir()
    real, path = tmp_path / "real.db", tmp_path / "data" / "katib.db"
    if kind == "a link to it":
        path.symlink_to(real)
    gone = path.parent if kind == "its folder" else path
    opened = opening.Opening(f"sqlite:///{path}")
    opened.open()
    storage = opened.storage
    try:
        study = _create(storage)
        gone.rename(tmp_path / "away")
        for refused in (lambda: _create(storage), lambda: storage.get_study(study.id)):
            with pytest.raises(
                UnavailableError, match=r"was deleted, moved or replaced under Katib, .* put back the same file"
            ):
                refused()
        assert not opened.there
        (tmp_path / "away").rename(gone)
        assert _until_there(opened)
        assert storage.get_study(study.id).id == study.id
        assert storage.get_study(_create(storage).id)
    finally:
        storage.close()


def test_another_file_at_the_path_is_not_the_one_that_was_opened(opened: opening.Opening, tmp_path: Path) -> None:
    study = _create(opened.storage)
    shutil.copy(tmp_path / "katib.db", tmp_path / "copy")
    (tmp_path / "copy").replace(tmp_path / "katib.db")
    with pytest.raises(UnavailableError, match="was deleted, moved or replaced"):
        opened.storage.get_study(study.id)
    with pytest.raises(UnavailableError, match="was deleted, moved or replaced"):
        _create(opened.storage)
    assert not opened.there
