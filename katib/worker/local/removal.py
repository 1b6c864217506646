"""Removing a folder that a trial has filled, whatever it has put there.

`shutil.rmtree` calls itself for each level, and a program can nest its folders deeper than that goes, or than a path is long.
So the folders within a folder are first moved up to the top: no path grows, few descriptors are open, and what is interrupted
goes on the next time.
"""

import errno
import os
import secrets
from collections.abc import Callable
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_EMPTY: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def remove_tree(path: str) -> None:
    """Removes all of it that can be; raises the first OSError where something is left."""
    top = os.open(path, _FOLDER)
    troubles: list[OSError] = []
    pending: list[str] = []

    def move_up(name: str, folder: int) -> None:
        moved = f".{secrets.token_hex(16)}"
        os.rename(name, moved, src_dir_fd=folder, dst_dir_fd=top)
        pending.append(moved)

    try:
        _empty(top, lambda name, _: pending.append(name), troubles)
        while pending:
            name = pending.pop()
            try:
                folder = os.open(name, _FOLDER, dir_fd=top)
                try:
                    _empty(folder, move_up, troubles)
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=top)
            except OSError as error:
                troubles.append(error)
    finally:
        os.close(top)
    if troubles:
        raise troubles[0]
    os.rmdir(path)


def _empty(folder: int, keep: Callable[[str, int], None], troubles: list[OSError]) -> None:
    """Removes all but folders that are not empty, which are given to `keep`."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        try:
            if not is_folder:
                os.unlink(name, dir_fd=folder)
            elif not _removed(name, folder):
                keep(name, folder)
        except OSError as error:
            troubles.append(error)


def _removed(name: str, folder: int) -> bool:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOT_EMPTY:
            return False
        raise
    return True
