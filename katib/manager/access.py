"""What a run is given so that its program can report to the manager, and the check of what it shows.

A token is `run_` TRIAL `_` ATTEMPT `_` and a keyed hash of the attempt's name: any manager on the database can tell whether it
is right, none of them has to store it before the run is created, and a run that is created again after a crash gets the same
one. It is good for its own attempt's reports only, and those are refused when the attempt is over. See docs/adr/0009.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final, Protocol

from katib.domain.errors import PermissionDeniedError
from katib.domain.names import run_name

ADDRESS: Final = "KATIB_SERVER"
TOKEN: Final = "KATIB_TOKEN"  # noqa: S105 - the name of a variable
AUTHORITIES: Final = "KATIB_TLS_CA"
_KEY_NAME: Final = "attempt-tokens"
_KEY_BYTES: Final = 32
_TOKEN: Final = re.compile(r"run_([a-z][0-9a-f]{15})_([1-9][0-9]{0,9})_([-A-Za-z0-9_]{43})")


class Secrets(Protocol):
    """Texts that every manager on a database knows."""

    def keep(self, name: str, proposal: str) -> str:
        """The secret of that name; the proposal becomes it where there is none yet."""


class RunAccess:
    def __init__(self, store: Secrets, address: Callable[[], str], authorities: Callable[[], str] = str) -> None:
        """`address()`: where runs reach the managers; empty where they cannot. `authorities()`: who vouches for them, in PEM or
        a word for it; empty where they do not speak TLS."""
        self._store = store
        self._address = address
        self._authorities = authorities

    def environment(self, trial_id: str, attempt: int) -> Mapping[str, str]:
        address = self._address()
        if not address:
            return {}
        authorities = self._authorities()
        return {
            ADDRESS: address,
            TOKEN: self._token(trial_id, attempt),
            **({AUTHORITIES: authorities} if authorities else {}),
        }

    def check(self, token: str, trial_id: str, attempt: int) -> None:
        """Raises PermissionDeniedError for any token but that attempt's."""
        # Runs that an earlier version began have the hash alone.
        if not self._is_hash(token.removeprefix(_begin(trial_id, attempt)), trial_id, attempt):
            raise PermissionDeniedError(f"the token is not that of attempt {attempt} of trial {trial_id}")

    def attempt_of(self, token: str) -> tuple[str, int] | None:
        """The trial and the attempt whose token this is; None for a text that is nobody's."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        trial_id, attempt = found[1], int(found[2])
        return (trial_id, attempt) if self._is_hash(found[3], trial_id, attempt) else None

    def attempt_if_known(self, token: str) -> tuple[str, int] | None:
        """The same without asking anybody: None too while this process has not yet needed the key."""
        return self.attempt_of(token) if "_key" in self.__dict__ else None

    def _is_hash(self, text: str, trial_id: str, attempt: int) -> bool:
        return hmac.compare_digest(text.encode(errors="replace"), self._hash(trial_id, attempt).encode())

    def _token(self, trial_id: str, attempt: int) -> str:
        return _begin(trial_id, attempt) + self._hash(trial_id, attempt)

    def _hash(self, trial_id: str, attempt: int) -> str:
        digest = hmac.digest(self._key, run_name(trial_id, attempt).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @cached_property
    def _key(self) -> bytes:
        return bytes.fromhex(self._store.keep(_KEY_NAME, secrets.token_hex(_KEY_BYTES)))


def _begin(trial_id: str, attempt: int) -> str:
    return f"run_{trial_id}_{attempt}_"
