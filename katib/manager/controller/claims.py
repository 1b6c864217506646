"""Studies that nobody drives are taken over, and managers that will not come back are removed.

A manager that dies leaves its studies to all others. So that they are shared, each takes its fair part of all at first, and
the rest only when the others have had the time to.
"""

import logging
import math
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from katib.manager.controller.stranded import Stranded
from katib.manager.ports import ManagerRecord, Storage

_log: Final = logging.getLogger(__name__)

# A manager that was only frozen writes its row again when it goes on.
_LEASES_UNTIL_REMOVED: Final = 10
_CLAIMS_AT_ONCE: Final = 100
# Studies that nobody drives are left to the others of which they are the fair part for so many looks. Then they are taken all
# the same: whoever was to take them is frozen, or has its worker elsewhere.
_LOOKS_LEFT_TO_OTHERS: Final = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """This manager among those on the same database. `is_gone(record)` knows, where it can, that another manager's process
    has ended, so that its studies need not wait for its lease to run out."""

    record: ManagerRecord
    is_gone: Callable[[ManagerRecord], bool] = lambda _record: False


class Claims:
    """Used by one thread. `placement`: as of `Worker.placement`."""

    def __init__(self, identity: Identity, storage: Storage, placement: str, lease_s: float) -> None:
        self._identity: Final = identity
        self._manager_id: Final = identity.record.id
        self._storage: Final = storage
        self._placement: Final = placement
        self._lease: Final = timedelta(seconds=lease_s)
        self._stranded: Final = Stranded(storage, placement, lease_s)
        # At how many looks on end there were studies that nobody drove.
        self._looks_at_undriven = 0

    def look(self, taken: Callable[[str], None]) -> None:
        """`taken` is told of each study that this manager drives from now on."""
        others = [m for m in self._storage.managers() if m.id != self._manager_id]
        gone = [m.id for m in others if m.age > self._lease * _LEASES_UNTIL_REMOVED or self._identity.is_gone(m)]
        dead = [m.id for m in others if m.age > self._lease or m.id in gone]
        living = {self._manager_id, *(m.id for m in others)}.difference(dead)
        room = self._room(living)
        while room > 0:
            most = min(room, _CLAIMS_AT_ONCE)
            claimed = self._storage.claim_studies(self._manager_id, self._placement, dead, most)
            for study_id in claimed:
                _log.info("drives a study from now on", extra={"study_id": study_id})
                taken(study_id)
            if len(claimed) < most:
                break
            room -= len(claimed)
        self._stranded.look(dead)
        for manager_id in gone:
            self._storage.release(manager_id)

    def _room(self, living: Set[str]) -> int:
        """How many of the studies that nobody drives are this manager's to take now: up to its fair part of all. Studies that
        have a driver stay with it."""
        drivers = self._storage.drivers(self._placement)
        undriven = sum(count for manager, count in drivers.items() if manager not in living)
        self._looks_at_undriven = self._looks_at_undriven + 1 if undriven else 0
        if self._looks_at_undriven > _LOOKS_LEFT_TO_OTHERS:
            return undriven
        part = math.ceil(sum(drivers.values()) / len(living))
        return min(undriven, max(0, part - drivers.get(self._manager_id, 0)))
