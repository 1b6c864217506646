"""The folder of katib-local's sockets: short, private, and there as long as it runs."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from katib.domain.errors import FailedPreconditionError
from katib.domain.names import MAX_SOCKET_PATH

_PREFIX: Final = "katib-"


@contextmanager
def sockets_folder(data: Path, longest: int) -> Iterator[Path]:
    """A folder for sockets with names of up to `longest` bytes: `data` may leave no room for them in a socket's path.

    New at each start, so that a service of an earlier start that still ends cannot remove a new one's socket. Raises
    FailedPreconditionError.
    """
    note = data / "runtime"
    _remove_noted(note)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise FailedPreconditionError(
            f"no folder for sockets can be made in {tempfile.gettempdir()}: {error.strerror}; TMPDIR may name another place"
        ) from error
    try:
        if len(os.fsencode(folder)) + 1 + longest > MAX_SOCKET_PATH:
            raise FailedPreconditionError(
                f"sockets in {folder} would have paths longer than {MAX_SOCKET_PATH} bytes: set TMPDIR to a folder with a "
                "shorter path"
            )
        try:
            note.write_bytes(os.fsencode(folder))
        except OSError as error:
            raise FailedPreconditionError(
                f"{note} cannot be written: {error.strerror}; choose another folder with --data"
            ) from error
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # systemd-tmpfiles passes over a folder that is locked.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield folder
        finally:
            os.close(descriptor)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            note.unlink()


def _remove_noted(note: Path) -> None:
    """What a start has left that was killed."""
    try:
        left = Path(os.fsdecode(note.read_bytes()))
    except OSError:
        return  # there is none
    if left.name.startswith(_PREFIX) and left.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(left, ignore_errors=True)


def restore(folder: Path) -> None:
    """Makes the folder again where it was tidied away all the same. Raises OSError, also where it is somebody else's now."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise PermissionError(f"{folder} was replaced by what is not ours")
