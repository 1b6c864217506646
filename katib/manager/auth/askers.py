"""Whose calls are counted together, before any of them is looked into: `katib.api.admission.Ask`.

It runs on the thread that takes in all calls, so it asks no database: what the guard has found out of a token is known here
from then on. A call with a token that is not known, or with none, is one of the address that it comes from.
"""

import time
from typing import Final

from katib.api.admission import address_of
from katib.api.callers import Asker
from katib.domain.names import run_name
from katib.domain.tokens import PREFIX
from katib.manager.access import RunAccess
from katib.manager.auth.cache import CachedTokens
from katib.manager.service.permissions import StudyAccess
from katib.manager.tokens import digest_of, id_in, same

# A token's hash takes some microseconds, and a program that calls often shows the same one.
_KNOWN_S: Final = 10.0
_MOST_KNOWN: Final = 10_000
_MOST_SHOWN: Final = 80


class Askers:
    """Used by one thread."""

    def __init__(self, attempts: RunAccess, tokens: CachedTokens, access: StudyAccess) -> None:
        self._attempts = attempts
        self._tokens = tokens
        self._access = access
        self._known: dict[str, tuple[float, Asker]] = {}

    def __call__(self, token: str, peer: str) -> Asker:
        if token:
            now = time.monotonic()
            known = self._known.get(token)
            if known is not None and now < known[0]:
                return known[1]
            found = self._found(token)
            if found is not None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[token] = now + _KNOWN_S, found
                return found
        address = address_of(peer)
        return Asker(address, f"the address {address}", address)

    def _found(self, token: str) -> Asker | None:
        run = self._attempts.attempt_if_known(token)
        if run is not None:
            trial_id, attempt = run
            study_id = self._access.known_study_of(trial_id)
            # A study's trials take turns together, however many they are.
            key = f"trials of {study_id}" if study_id else f"trial {trial_id}"
            return Asker(key, f"trial {trial_id}", run_name(trial_id, attempt), trial=True)
        if token.startswith(PREFIX):
            kept = self._tokens.known(id_in(token))
            if kept is not None and same(kept[1], digest_of(token)):
                name = kept[0].owner
                return Asker(f"caller {name}", name[:_MOST_SHOWN], f"caller {name}")
        return None
