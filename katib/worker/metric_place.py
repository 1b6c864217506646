"""Opening what a run has written, wherever it has put it, without being led elsewhere or being held up."""

import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Never waits at a pipe that somebody has put in the file's place.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# A folder of one run is smaller; one that is not must not hold up the reading of others.
MAX_ENTRIES: Final = 10_000
MAX_DEPTH: Final = 16


class IrregularError(OSError):
    """What stands there is no regular file."""


class Place:
    """The file or folder `path`, which is below `root` where that is given.

    Who writes below `root` may not be allowed to see what its reader sees, such as a Pod on a volume of its own. So nothing
    below it may be a symbolic link: such a one is an OSError. Without `root` links are followed. `shared`: others write there,
    and from other machines.
    """

    def __init__(self, path: str, root: str = "") -> None:
        self.path: Final = path
        self.shared: Final = bool(root)
        self._root: Final = root
        self._below: Final = posixpath.relpath(path, root) if root else ""
        if self._below.startswith(".."):
            raise ValueError(f"{path} is not below {root}")

    def open(self, relative: str = "") -> int:
        """A descriptor of the file `relative` to the place. Raises OSError, IrregularError for what is no regular file."""
        descriptor = self._open(relative, _FILE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise IrregularError(f"{os.path.join(self.path, relative).rstrip('/')} is no regular file")
        return descriptor

    def walk(self) -> Iterator[str]:
        """The regular files in the folder and below it, relative to it, in order. At most MAX_ENTRIES entries are looked
        at, and nothing deeper than MAX_DEPTH. Raises OSError: for a folder further down, when all else has been given; one that
        has vanished meanwhile is passed over."""
        left = MAX_ENTRIES
        waiting = [""]
        trouble: OSError | None = None
        while waiting and left > 0:
            folder = waiting.pop()
            names, folders = [], []
            try:
                descriptor = self._open(folder, _FOLDER)
            except OSError as error:
                if not folder:
                    raise
                if not isinstance(error, FileNotFoundError):
                    trouble = trouble or error
                continue
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        left -= 1
                        if left < 0:
                            break
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.name)
                        elif self._is_file(entry):
                            names.append(entry.name)
            finally:
                os.close(descriptor)
            yield from (os.path.join(folder, name) for name in sorted(names))
            if folder.count("/") + bool(folder) < MAX_DEPTH:
                waiting += (os.path.join(folder, name) for name in sorted(folders, reverse=True))
        if trouble is not None:
            raise trouble

    def _is_file(self, entry: "os.DirEntry[str]") -> bool:
        try:
            return entry.is_file(follow_symlinks=not self._root)
        except OSError:
            # Whoever opens it is told why it cannot be.
            return True

    def _open(self, relative: str, flags: int) -> int:
        if not self._root:
            return os.open(os.path.join(self.path, relative) if relative else self.path, flags)
        parts = posixpath.join(self._below, relative).rstrip("/").split("/")
        descriptor = os.open(self._root, _FOLDER)
        for number, part in enumerate(parts, 1):
            try:
                step = _FOLDER if number < len(parts) else flags
                inner = os.open(part, step | os.O_NOFOLLOW, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor
