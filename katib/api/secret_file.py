"""A secret that stands in a file and may be replaced there while programs run."""

import hmac
import logging
import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from katib.domain.errors import FailedPreconditionError

SHORTEST: Final = 32
_LONGEST: Final = 4096
# The file is read again after this time: one that was removed, or changed, counts no longer than that.
_AGAIN_S: Final = 5.0
_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"
_log: Final = logging.getLogger(__name__)


def warn_if_open(path: Path) -> None:
    """What a cluster has mounted is its own affair, and never owned by a person. Raises OSError."""
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & stat.S_IRWXO and found.st_uid == os.geteuid() and _CLUSTER not in os.environ:
        _log.warning("%s holds a token and every user of this machine can read it: chmod 600 %s", path, path)


class SecretFile:
    """Safe from any thread. `option` names it in errors, in which the secret never is."""

    def __init__(self, path: Path, option: str, again: float = _AGAIN_S) -> None:
        """Raises FailedPreconditionError for a file that cannot be used."""
        self._path = path
        self._again = again
        self._lock = threading.Lock()
        self._secret = self._read()
        self._read_at = time.monotonic()
        if not self._secret:
            raise FailedPreconditionError(f"{option} {path} cannot be read: put a token there, one word of ASCII")
        if len(self._secret) < SHORTEST:
            raise FailedPreconditionError(
                f"the token in {option} {path} has {len(self._secret)} characters: use {SHORTEST} random ones or more "
                f"(umask 077; openssl rand -hex 32 > {path})"
            )
        with suppress(FileNotFoundError):  # it is gone since
            warn_if_open(path)

    def current(self) -> str:
        """Empty where the file is gone."""
        with self._lock:
            if time.monotonic() - self._read_at > self._again:
                self._secret, self._read_at = self._read(), time.monotonic()
            return self._secret

    def is_it(self, text: str) -> bool:
        """In the same time whatever the difference."""
        right = self.current()
        return bool(right) and hmac.compare_digest(right.encode(), text.encode(errors="surrogatepass"))

    def _read(self) -> str:
        """Empty where there is none to be had, or none that would do as a header's value."""
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""
        return text if len(text) <= _LONGEST and text.isprintable() and " " not in text else ""
