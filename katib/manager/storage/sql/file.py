"""The file of an SQLite database, which is for its user alone: it holds the key of all tokens of attempts."""

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from katib.domain.errors import FailedPreconditionError, UnavailableError

_log: Final = logging.getLogger(__name__)

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
# What SQLite puts beside it, with the file's own mode.
_BESIDE: Final = ("", "-wal", "-shm", "-journal")


def prepare_file(url: URL) -> None:
    """Makes sure that the file is there, or can be created, and that nobody else reads it.

    Folders that are there already stay as they are. Raises FailedPreconditionError.
    """
    assert url.database is not None
    path = os.path.realpath(url.database)
    folder = Path(path).parent
    try:
        folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPreconditionError(
            f"the folder {folder} of the database cannot be created: {error.strerror}"
        ) from error
    # What is wrong with it otherwise is SQLite's to say.
    with suppress(OSError):
        # Never opened when it is there: to close it would give up the locks that this process has on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE_MODE))
    for end in _BESIDE:
        _close_to_others(path + end)


class OpenFile:
    """The file of a database that is open, to tell whether it is still the one at its path.

    When it is deleted, moved or replaced SQLite says nothing: connections go on with the old file, which is gone for good when
    the last of them closes, and new ones begin another.
    """

    def __init__(self, url: URL, where: str) -> None:
        """`where` names the database in errors. The file must be there."""
        assert url.database is not None
        # As it is opened: a link on the way may come to lead elsewhere.
        self._path = os.path.abspath(url.database)
        self._where = where
        self._found = self._identity()

    def check(self) -> None:
        """Raises UnavailableError when another file, or none, is at the path."""
        there = self._identity()
        if there is None or there != self._found:
            raise UnavailableError(
                f"the file of the database {self._where} was deleted, moved or replaced under Katib, which stores nothing "
                "more: put back the same file (mv, not cp), or stop Katib, and start it again with what is there then"
            )

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino


def _close_to_others(path: str) -> None:
    """Files from before Katib looked at this were open to whoever the umask let in. One for a group alone was made so by
    somebody, who will have meant it."""
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & stat.S_IRWXO:
        return
    try:
        os.chmod(path, _FILE_MODE)
    except OSError as error:
        _log.warning(
            "every user of this machine can open %s, and with it become any attempt of a trial; this process may not change "
            "that (%s): take the rights of others away",
            path,
            error.strerror,
        )
    else:
        _log.warning("every user of this machine could open %s; from now on it is for its owner alone", path)
