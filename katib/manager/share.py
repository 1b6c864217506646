"""Which of several managers does what one of them is to do for a study: its driver while that lives, else one that all of them
agree on.

That is for the sake of what it costs and no more: whatever is shared so must do no harm where two do it at once, as where one
has just died, and is not left undone for long where the one whose part it is does not do it (see `Patience`).
"""

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from katib.domain.study import Study
from katib.manager.controller.claims import Identity
from katib.manager.controller.loop import LEASE_S
from katib.manager.ports import Storage

# For so long it is believed who lives.
_KNOWN_S: Final = 1.0


class Share:
    """Of one manager; for one thread."""

    def __init__(self, identity: Identity, storage: Storage, lease_s: float = LEASE_S) -> None:
        self._identity = identity
        self._storage = storage
        self._lease = timedelta(seconds=lease_s)
        self._others: frozenset[str] = frozenset()
        self._known_until = 0.0

    def is_ours(self, study: Study) -> bool:
        """Raises the KatibError of the storage."""
        ours = self._identity.record.id
        if study.manager == ours:
            return True
        others = self._living()
        if study.manager in others:
            return False
        return all(_rank(study.id, ours) > _rank(study.id, other) for other in others)

    def _living(self) -> frozenset[str]:
        """The other managers that live."""
        if time.monotonic() >= self._known_until:
            self._others = frozenset(
                other.id
                for other in self._storage.managers()
                if other.id != self._identity.record.id
                and other.age <= self._lease
                and not self._identity.is_gone(other)
            )
            self._known_until = time.monotonic() + _KNOWN_S
        return self._others


class Patience:
    """For how long something stays to be done that is another's part, by study: as long as that one comes forward with it."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        # How far it had been come, and since when.
        self._seen: dict[str, tuple[int, float]] = {}

    def is_over(self, study_id: str, done: int) -> bool:
        """`done`: how far it has been come by now."""
        now = self._clock()
        before, since = self._seen.setdefault(study_id, (done, now))
        if before != done:
            self._seen[study_id] = done, now
            return False
        return now - since >= self._seconds

    def only(self, study_ids: set[str]) -> None:
        """Forgets all others, of which nothing is to be done."""
        self._seen = {study_id: seen for study_id, seen in self._seen.items() if study_id in study_ids}


def _rank(study_id: str, manager_id: str) -> bytes:
    """The same for whoever asks, and of each study another order: each has its part, and one that comes or goes moves few."""
    return hashlib.sha256(f"{study_id} {manager_id}".encode()).digest()
