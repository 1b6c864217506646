"""A secret that stands in a file and may be replaced there while programs run."""

import hmac
import threading
import time
from pathlib import Path
from typing import Final

from katib.domain.errors import FailedPreconditionError

SHORTEST: Final = 32
_LONGEST: Final = 4096
# The file is read again after this time: one that was removed, or changed, counts no longer than that.
_AGAIN_S: Final = 5.0


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
                f"(openssl rand -hex 32 > {path})"
            )

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
