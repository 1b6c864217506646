"""The first token, before there are any: a text in a file, good for everything as long as the file is there."""

import os
import secrets
from pathlib import Path
from typing import Final

from katib.api.secret_file import SecretFile
from katib.domain.caller import Caller, CallerKind, Role
from katib.domain.errors import FailedPreconditionError

BOOTSTRAP_CALLER: Final = Caller(CallerKind.SERVICE, "bootstrap", frozenset({Role.ADMIN}))
OPTION: Final = "--bootstrap-token-file"


def open_bootstrap(path: Path) -> SecretFile:
    """Where there is no file one is made, readable by this user alone. Raises FailedPreconditionError for one that cannot be
    used."""
    if not path.exists():
        _create(path)
    return SecretFile(path, OPTION)


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    except FileExistsError:
        pass  # another manager was faster
    except OSError as error:
        raise FailedPreconditionError(f"{OPTION} {path} cannot be made: {error.strerror}; name another one") from error
