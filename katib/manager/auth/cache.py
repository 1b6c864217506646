"""Tokens as they were a moment ago: a call looks its token up here, not in the database."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from katib.domain.tokens import Token
from katib.manager.tokens import TokenStore

# Within this time every manager sees that a token was revoked; the one that revoked it sees it at once.
SEEN_WITHIN_S: Final = 10.0
# Of each caller some 1 KB.
_MOST: Final = 10_000


class CachedTokens:
    """A TokenStore before another. Only what was found is remembered: a flood of made-up ids drives nothing out."""

    def __init__(self, store: TokenStore, most: int = _MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._found: OrderedDict[str, tuple[float, tuple[Token, str]]] = OrderedDict()
        self._removals = 0

    def find(self, token_id: str) -> tuple[Token, str] | None:
        now = self._clock()
        with self._lock:
            kept = self._found.get(token_id)
            if kept is not None and now < kept[0]:
                self._found.move_to_end(token_id)
                return kept[1]
            removals = self._removals
        found = self._store.find(token_id)
        with self._lock:
            if found is None:
                self._found.pop(token_id, None)
            elif removals == self._removals:  # else this may be it, as it was just before
                # As old as the question: what is revoked behind it is seen in time.
                self._found[token_id] = now + SEEN_WITHIN_S, found
                self._found.move_to_end(token_id)
                if len(self._found) > self._most:
                    self._found.popitem(last=False)
        return found

    def known(self, token_id: str) -> tuple[Token, str] | None:
        """What was found at last, however long ago: good for no more than to tell callers apart."""
        with self._lock:
            kept = self._found.get(token_id)
        return None if kept is None else kept[1]

    def add(self, token: Token, digest: str) -> None:
        self._store.add(token, digest)

    def list_tokens(self, owner: str, after: str, limit: int) -> Sequence[Token]:
        return self._store.list_tokens(owner, after, limit)

    def remove(self, token_id: str) -> None:
        self._store.remove(token_id)
        with self._lock:
            self._removals += 1
            self._found.pop(token_id, None)

    def used(self, token_id: str, at: datetime) -> None:
        self._store.used(token_id, at)
        with self._lock:
            if token_id in self._found:
                # Read anew the next time; `known` goes on knowing it.
                self._found[token_id] = 0.0, self._found[token_id][1]
