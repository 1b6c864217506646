"""How much may be stored: studies, trials and observations, of each owner and in all. What there is, the database says.

The studies are counted where a new one is written. A study's row has the numbers of its trials and of their observations, and a
trial's that of its own, so a limit of these is looked at for nothing, in the transaction that would go beyond it. The trials
and observations of an owner, and all of them, are added up over studies now and then: between two times each manager knows of
its own new ones.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from katib.domain.errors import KatibError, ResourceExhaustedError
from katib.domain.permissions import owner_of
from katib.domain.study import Study
from katib.manager.ports import Storage, Usage

# Between two times, and as a multiple of what one takes: it is a hundredth of a connection's time at most.
_EVERY_S: Final = 10.0
_TIMES: Final = 100
_NOTHING: Final = Usage(0)


@dataclass(frozen=True, slots=True)
class Quotas:
    """0: no limit. Those of owners count where callers are asked who they are: else anybody may name any owner."""

    studies: int = 0
    studies_of_owner: int = 0
    trials: int = 0
    trials_of_owner: int = 0
    trials_of_study: int = 0
    observations: int = 0
    observations_of_owner: int = 0
    observations_of_trial: int = 0


def _nothing() -> None:
    """There is nothing to take back."""


class Room:
    """How many trials and observations a study may still get. Safe from any thread."""

    def __init__(self, storage: Storage, quotas: Quotas = Quotas()) -> None:
        self.quotas: Final = quotas
        self._storage = storage
        self._reading = threading.Lock()
        # What was read at last, and what this manager has added since it was.
        self._lock = threading.Lock()
        self._stored: Mapping[str, Usage] = {}
        self._all = _NOTHING
        self._added: Counter[str] = Counter()
        self._added_observations: Counter[str] = Counter()
        # How often it was read.
        self._readings = 0
        self._next = 0.0

    def counting(self) -> "Counting":
        """What one write counts."""
        return Counting(self)

    def of(self, study: Study) -> tuple[int, str]:
        """How many trials, and the sentence that says why it is not more."""
        quotas = self.quotas
        least, sentence = 2**31, ""
        if quotas.trials_of_study:
            least = quotas.trials_of_study - study.suggested
            sentence = (
                f"study {study.id} has {study.suggested} trials, the most of one study (--max-trials-per-study): go on in "
                "another study, or have the limit raised"
            )
        if not quotas.trials and not quotas.trials_of_owner:
            return max(least, 0), sentence
        owner = owner_of(study.spec.owner)
        self._look()
        with self._lock:
            of_owner = self._stored.get(owner, _NOTHING).trials + self._added[owner]
            of_all = self._all.trials + self._added.total()
        if quotas.trials_of_owner and owner and quotas.trials_of_owner - of_owner < least:
            least = quotas.trials_of_owner - of_owner
            sentence = (
                f"the studies of {owner} have {of_owner} trials, the most of one owner (--max-trials-per-owner): delete "
                "studies that are not needed any more, or have the limit raised"
            )
        if quotas.trials and quotas.trials - of_all < least:
            least = quotas.trials - of_all
            sentence = (
                f"there are {of_all} trials, the most that are kept here (--max-trials): delete studies that are not needed "
                "any more, or have the limit raised"
            )
        return max(least, 0), sentence

    def added(self, study: Study, count: int) -> Callable[[], None]:
        """So many trials by this manager. What takes that back is returned."""
        if not count or not (self.quotas.trials or self.quotas.trials_of_owner):
            return _nothing
        with self._lock:
            return self._count(self._added, owner_of(study.spec.owner), count)

    def before_report(self) -> None:
        """Not in a transaction: what is stored may be added up."""
        if self.quotas.observations or self.quotas.observations_of_owner:
            self._look()

    def allow_observations(self, study: Study, new: int) -> Callable[[], None]:
        """So many by this manager. Reads nothing: it is asked within the transaction that adds them. What takes that back is
        returned. Raises ResourceExhaustedError."""
        quotas = self.quotas
        if not quotas.observations and not quotas.observations_of_owner:
            return _nothing
        owner = owner_of(study.spec.owner)
        with self._lock:
            of_owner = self._stored.get(owner, _NOTHING).observations + self._added_observations[owner]
            of_all = self._all.observations + self._added_observations.total()
            if quotas.observations_of_owner and owner and of_owner + new > quotas.observations_of_owner:
                raise ResourceExhaustedError(
                    f"the trials of {owner} have {of_owner} values, and {new} more would be beyond "
                    f"{quotas.observations_of_owner}, the most of one owner (--max-observations-per-owner): delete studies "
                    "that are not needed any more, or have the limit raised"
                )
            if quotas.observations and of_all + new > quotas.observations:
                raise ResourceExhaustedError(
                    f"there are {of_all} values of trials, and {new} more would be beyond {quotas.observations}, the most that "
                    "are kept here (--max-observations): delete studies that are not needed any more, or have the limit raised"
                )
            return self._count(self._added_observations, owner, new)

    def _count(self, counter: "Counter[str]", owner: str, count: int) -> Callable[[], None]:
        """The lock is held."""
        counter[owner] += count
        reading = self._readings

        def take_back() -> None:
            with self._lock:
                # What was counted before is not in the counter any more: too many for a while, never too few.
                if self._readings == reading:
                    counter[owner] -= count

        return take_back

    def _look(self) -> None:
        if time.monotonic() >= self._next and self._reading.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._reading.release()

    def _read(self) -> None:
        began = time.monotonic()
        with self._lock:
            before, observations_before = self._added.copy(), self._added_observations.copy()
        try:
            stored = self._storage.usage()
        except KatibError:
            # What comes next will say so itself.
            self._next = began + 1
            return
        every = stored.values()
        with self._lock:
            self._stored = stored
            self._readings += 1
            self._all = Usage(0, sum(u.trials for u in every), sum(u.observations for u in every))
            # Some of these may have been counted already: too many for a while, never too few.
            self._added -= before
            self._added_observations -= observations_before
        self._next = began + max(_EVERY_S, _TIMES * (time.monotonic() - began))


class Counting:
    """What one write counts, which may be made twice: once."""

    def __init__(self, room: Room) -> None:
        self._room: Final = room
        self._take_back_trials: Callable[[], None] = _nothing
        self._take_back_observations: Callable[[], None] = _nothing

    def begin(self) -> None:
        """Once more: before what there is room for is looked at."""
        self._take_back_trials()
        self._take_back_trials = _nothing

    def added(self, study: Study, count: int) -> None:
        """See Room."""
        self._take_back_trials = self._room.added(study, count)

    def allow_observations(self, study: Study, new: int) -> None:
        """See Room."""
        self._take_back_observations()
        self._take_back_observations = _nothing
        self._take_back_observations = self._room.allow_observations(study, new)
