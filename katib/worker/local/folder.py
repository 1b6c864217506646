"""The folder of a run: who may execute it, how it ended, what it printed.

    <data>/runs/<study id>/<run name>/
        started   made with O_EXCL by whoever decides what becomes of the run: its wrapper (`<pid> <boot id>`) before it
                  executes the command, or a worker (`fenced`) that makes sure that no wrapper ever does
        output    standard output and standard error of the command
        exit      made with O_EXCL: the exit code, by the wrapper; or a verdict (`<Reason> <message>`), by a worker
        work/     where the command runs when its study names no other place
        model     what the command may make, a file or a folder: its model (KATIB_MODEL_DIR)
        metrics   what the command may make: the file or folder that its metrics are read from (KATIB_METRICS_PATH)
    <data>/runs/<study id>/
        taken     the names of the runs that are history: their output has been taken in, no list names them

`started` and `exit` end in a line feed; without it their writer died over them. The folder stays as long as its
study, so that a creation that comes late, by a manager that was frozen, meets `started`. A study that has been deleted leaves
an empty file in the place of its folder, in which no folder of a run can be made.

The command can do with all of this what it likes, as the same user. What it puts in the place of a record costs its own run its
end, or history a second look, and never holds up who reads it.

Nothing is removed while a study lives: ext4 does not use an inode again for some seconds after it was freed, and finding a free
one among thousands of those takes half a millisecond.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

from katib.domain.errors import UnavailableError
from katib.domain.names import check_id
from katib.domain.trial import TrialReason
from katib.worker.local.removal import remove_tree
from katib.worker.names import is_run_name, split_name

STARTED: Final = "started"
OUTPUT: Final = "output"
EXIT: Final = "exit"
WORK: Final = "work"
MODEL: Final = "model"
METRICS: Final = "metrics"
# What must be free before a program is started: more than many of them print, and less than any disk in use has.
ROOM: Final = 32 * 2**20
# Of a small disk a share: one of so many parts.
SMALL: Final = 10
_NO_ROOM: Final = 2**16
TAKEN: Final = "taken"
# After a name in it: not taken any more.
_BACK: Final = " back"

_FENCED: Final = "fenced"
_TRASH: Final = ".trash"
_MAX_RECORD: Final = 4096
# Of `taken`, some 20 bytes a run: what stands before its last so many is looked at, and becomes history, anew.
_MAX_TAKEN: Final = 16 * 1024 * 1024
# Nobody waits at a pipe, or follows a link, that a command has put in a record's place.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class StartedBy(Enum):
    """Who created `started`, as far as it says."""

    WRAPPER = "wrapper"  # known by its number and the boot
    UNKNOWN = "unknown"  # a wrapper that has not come to writing down who it is, or died over it
    FENCE = "fence"  # a worker, so that no wrapper ever executes the run
    STRANGER = "stranger"  # it is not there any more: what stands in its place nobody of ours has written


@dataclass(frozen=True, slots=True)
class Started:
    """`pid` and `boot_id` are a WRAPPER's."""

    by: StartedBy
    pid: int = 0
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended: by `code` as a shell has it (128 + n: signal n), or by `reason` and `message` where nobody knows one."""

    code: int | None = None
    reason: str = ""
    message: str = ""


REPLACED: Final = Verdict(
    None,
    TrialReason.END_UNKNOWN,
    f"nobody knows how it ended: its program has put something else in the place of {STARTED} or {EXIT} in its folder",
)


class RunFolders:
    """The folders of all studies below `<data>/runs`."""

    def __init__(self, data: str) -> None:
        self.root: Final = os.path.join(data, "runs")
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"the data folder cannot be used: {error}") from error

    def check_room(self, least: int | None) -> None:
        """Raises UnavailableError when fewer than `least` bytes are free for who is not root (None: ROOM, or less of a small
        disk): programs that run out of room fail, and what they have printed is lost, where those that wait lose nothing."""
        stat = os.statvfs(self.root)
        if not stat.f_blocks:
            return  # a file system that does not say
        if least is None:
            least = min(ROOM, stat.f_blocks * stat.f_frsize // SMALL)
        free = stat.f_bavail * stat.f_frsize
        if free < least:
            raise UnavailableError(
                f"only {_mebibytes(free)} MiB are free on the disk of {self.root}: make room, as no trial is started with less "
                f"than {_mebibytes(least)} MiB"
            )

    def study(self, study_id: str) -> str:
        return f"{self.root}/{check_id('study_id', study_id)}"

    def run(self, study_id: str, name: str) -> str:
        split_name(name)
        return f"{self.study(study_id)}/{name}"

    def make(self, folder: str) -> bool:
        """Makes a run's folder with `work` in it; False when it is there already.

        Raises NotADirectoryError when the study has been deleted.
        """
        fresh = _make_folder(folder)
        # Whoever made the folder may not have come to this.
        _make_folder(f"{folder}/{WORK}")
        return fresh

    def names(self, study_id: str) -> list[str]:
        """The runs of the study that are not history."""
        folder = self.study(study_id)
        try:
            # In their order: the last word about a name counts.
            taken = {}
            for line in _read_all(f"{folder}/{TAKEN}").decode("ascii", "replace").splitlines():
                taken[line.removesuffix(_BACK)] = not line.endswith(_BACK)
            return [name for name in os.listdir(folder) if is_run_name(name) and not taken.get(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def model(self, study_id: str, name: str) -> str:
        """Where the run's model is; empty when it has none. A link is none: what it points to is not the run's."""
        path = f"{self.run(study_id, name)}/{MODEL}"
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ""
        return path if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else ""

    def remove_model(self, study_id: str, path: str) -> None:
        """Unless `path` is what `model` gave for a run of the study, nothing happens."""
        folder, _, last = path.rpartition("/")
        name = folder.rpartition("/")[2]
        if last != MODEL or not is_run_name(name) or path != self.model(study_id, name):
            return
        if os.path.isdir(path):
            remove_tree(path)
        else:
            os.unlink(path)

    def delete(self, study_id: str) -> None:
        """Removes everything of the study. From then on none of its runs can be created here."""
        folder = self.study(study_id)
        trash = os.path.join(self.root, _TRASH)
        while not _make_file(folder):
            if not os.path.isdir(folder):
                return
            os.makedirs(trash, exist_ok=True)
            os.rename(folder, os.path.join(trash, f"{study_id}.{secrets.token_hex(8)}"))
        # With what an earlier call was killed over.
        with suppress(OSError):
            remove_tree(trash)


def is_full(folder: str) -> bool:
    """Whether its disk has no room left for who is not root: less than a program's buffer."""
    try:
        stat = os.statvfs(folder)
    except FileNotFoundError:
        return False
    return bool(stat.f_blocks) and stat.f_bavail * stat.f_frsize < _NO_ROOM


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.3g}" if size < 10 * 2**20 else str(size // 2**20)


def read_started(folder: str) -> Started | None:
    """None: nobody has started the run."""
    try:
        text = _read(f"{folder}/{STARTED}")
    except _NotAFileError:
        return Started(StartedBy.STRANGER)
    if text is None:
        return None
    if not text.endswith("\n"):
        return Started(StartedBy.UNKNOWN)
    words = text.split()
    if words[:1] == [_FENCED]:
        return Started(StartedBy.FENCE)
    if len(words) == 2 and words[0].isdecimal() and int(words[0]) > 0:
        return Started(StartedBy.WRAPPER, int(words[0]), words[1])
    return Started(StartedBy.UNKNOWN)


def fence(folder: str) -> bool:
    """Makes sure that no wrapper ever executes the run; False when it has been started, or fenced, already."""
    return _create(f"{folder}/{STARTED}", f"{_FENCED}\n")


def read_verdict(folder: str) -> Verdict | None:
    """None: the run has not ended, or nobody lived to write down how."""
    try:
        text = _read(f"{folder}/{EXIT}")
    except _NotAFileError:
        return REPLACED
    if text is None or not text.endswith("\n"):
        return None
    text = text[:-1]
    if text.isdecimal():
        return Verdict(int(text))
    reason, _, message = text.partition(" ")
    return Verdict(None, reason, message)


def write_verdict(folder: str, verdict: Verdict) -> None:
    """Unless there is one already. One that cannot be written (a full disk) is found out again after a restart."""
    text = f"{verdict.reason} {verdict.message}" if verdict.code is None else str(verdict.code)
    try:
        _create(f"{folder}/{EXIT}", " ".join(text.split())[: _MAX_RECORD // 4] + "\n")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
            raise


def is_taken(folder: str) -> bool:
    """Whether the run is history."""
    study, _, name = folder.rpartition("/")
    lines = _read_all(f"{study}/{TAKEN}")
    # No name ends with another one: all begin with an id. The last word counts.
    return lines.rfind(f"{name}\n".encode()) > lines.rfind(f"{name}{_BACK}\n".encode())


def mark_taken(folder: str, *, back: bool = False) -> None:
    """The run is history from now on, or with `back` it is not any more."""
    study, _, name = folder.rpartition("/")
    if back:
        name += _BACK
    path = f"{study}/{TAKEN}"
    if _is_replaced(path):
        # It goes with its study. The runs in it become history once more.
        os.rename(path, f"{path}.{secrets.token_hex(8)}")
    descriptor = os.open(path, _APPEND, 0o644)
    try:
        os.write(descriptor, f"{name}\n".encode())
    finally:
        os.close(descriptor)


def _make_folder(path: str) -> bool:
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)
    return True


def _make_file(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        return False
    return True


def _create(path: str, text: str) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    return True


class _NotAFileError(Exception):
    """What stands there no one of ours has made."""


def _open(path: str) -> int | None:
    """Raises _NotAFileError."""
    try:
        descriptor = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # A link; a socket.
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _NotAFileError from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _NotAFileError
    return descriptor


def _is_replaced(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _read_all(path: str) -> bytes:
    """Nothing, when no file is there; of a long one its end."""
    try:
        descriptor = _open(path)
    except _NotAFileError:
        return b""
    if descriptor is None:
        return b""
    with open(descriptor, "rb", buffering=0) as file:
        if os.fstat(descriptor).st_size > _MAX_TAKEN:
            file.seek(-_MAX_TAKEN, os.SEEK_END)
        return file.read(_MAX_TAKEN) or b""


def _read(path: str) -> str | None:
    """Raises _NotAFileError."""
    descriptor = _open(path)
    if descriptor is None:
        return None
    try:
        return os.read(descriptor, _MAX_RECORD).decode(errors="replace")
    finally:
        os.close(descriptor)
