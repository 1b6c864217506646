"""The folder of katib-local's sockets."""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from katib.domain.errors import FailedPreconditionError
from katib.sockets import restore, sockets_folder


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where folders of sockets are made; short, as /tmp is, where `tmp_path` has been made before."""
    with tempfile.TemporaryDirectory(prefix="kt-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_it_is_private_and_gone_with_what_is_in_it(tmp: Path, tmp_path: Path) -> None:
    with sockets_folder(tmp_path, 20) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (tmp_path / "runtime").read_text() == str(folder)
        (folder / "s-random").touch()
    assert list(tmp.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_start_has_left_is_removed_and_nothing_else(tmp: Path, tmp_path: Path) -> None:
    for name in ("katib-old", "precious"):
        (tmp / name).mkdir()
        (tmp_path / "runtime").write_text(str(tmp / name))
        with sockets_folder(tmp_path, 20):
            pass
    assert [it.name for it in tmp.iterdir()] == ["precious"]


def test_a_note_that_is_no_text_is_passed_over(tmp: Path, tmp_path: Path) -> None:
    (tmp_path / "runtime").write_bytes(b"\xff\xfe\x00")
    with sockets_folder(tmp_path, 20) as folder:
        assert folder.is_dir()


def test_a_place_whose_name_is_no_text_and_that_has_no_locks_will_do(
    tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    place = os.fsencode(tmp) + b"/\xff"
    os.mkdir(place)
    monkeypatch.setattr(tempfile, "tempdir", os.fsdecode(place))
    with sockets_folder(tmp_path, 20) as folder:
        assert folder.is_dir()
    (tmp_path / "runtime").write_bytes(place + b"/katib-old")
    os.mkdir(place + b"/katib-old")
    with sockets_folder(tmp_path, 20):
        assert not os.path.exists(place + b"/katib-old")


def test_a_note_that_cannot_be_written_is_a_sentence_and_leaves_no_folder(tmp: Path, tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    with (
        pytest.raises(FailedPreconditionError, match=r"runtime cannot be written: Is a directory; .* --data"),
        sockets_folder(tmp_path, 20),
    ):
        pass
    assert list(tmp.iterdir()) == []


def test_a_folder_for_temporary_files_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (
        pytest.raises(FailedPreconditionError, match="none: No such file or directory; TMPDIR"),
        sockets_folder(tmp_path, 20),
    ):
        pass


def test_paths_too_long_for_a_socket_are_said_to_be_and_what_helps(
    tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with (
        pytest.raises(FailedPreconditionError, match="longer than 107 bytes: set TMPDIR"),
        sockets_folder(tmp_path, 20),
    ):
        pass
    assert list(deep.iterdir()) == []


def test_who_tidies_up_finds_it_locked(tmp: Path, tmp_path: Path) -> None:
    with sockets_folder(tmp_path, 20) as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_it_is_made_again_where_it_was_tidied_away(tmp: Path) -> None:
    folder = tmp / "katib-1"
    restore(folder)
    restore(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["link", "open to others"])
def test_what_somebody_else_has_put_there_is_not_taken(tmp: Path, kind: str) -> None:
    folder = tmp / "katib-1"
    if kind == "link":
        folder.symlink_to(tmp)
    else:
        folder.mkdir(0o755)
    with pytest.raises(PermissionError, match="not ours"):
        restore(folder)
