"""The first token, before there are any: a text in a file, good for everything as long as the file is there."""

import hmac
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Final

from katib.domain.caller import Caller, CallerKind, Role
from katib.domain.errors import FailedPreconditionError

BOOTSTRAP_CALLER: Final = Caller(CallerKind.SERVICE, "bootstrap", frozenset({Role.ADMIN}))

_SHORTEST: Final = 32
_LONGEST: Final = 4096
# The file is read again after this time: one that was removed, or changed, counts no longer than that.
_AGAIN_S: Final = 5.0


class BootstrapToken:
    def __init__(self, path: Path, again: float = _AGAIN_S) -> None:
        """Where there is no file one is made, readable by this user alone. Raises FailedPreconditionError for one that cannot
        be used."""
        self._path = path
        self._again = again
        self._lock = threading.Lock()
        if not path.exists():
            _create(path)
        self._token = self._read()
        self._read_at = time.monotonic()
        if not self._token:
            raise FailedPreconditionError(f"--bootstrap-token-file {path} cannot be read: put a token there")
        if len(self._token) < _SHORTEST:
            raise FailedPreconditionError(
                f"the token in --bootstrap-token-file {path} has {len(self._token)} characters: use {_SHORTEST} random ones "
                "or more, or remove the file to have one made"
            )

    def is_it(self, token: str) -> bool:
        with self._lock:
            if time.monotonic() - self._read_at > self._again:
                self._token, self._read_at = self._read(), time.monotonic()
            right = self._token
        return bool(right) and hmac.compare_digest(right.encode(), token.encode(errors="surrogatepass"))

    def _read(self) -> str:
        """Empty where there is none to be had, or none that would do."""
        try:
            text = self._path.read_text().strip()
        except (OSError, ValueError):
            return ""
        return text if len(text) <= _LONGEST else ""


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    except FileExistsError:
        pass  # another manager was faster
    except OSError as error:
        raise FailedPreconditionError(
            f"--bootstrap-token-file {path} cannot be made: {error.strerror}; name another one"
        ) from error
