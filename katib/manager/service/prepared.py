"""Suggestions that a service has made before anybody asked for them.

A service that needs no history of the study (`History.NONE`) answers by the number that a trial will bear: the answer for trial
40 is the same whenever it is asked for. So it is asked for some numbers ahead, and a client's trial costs a write of the
database in place of two calls to the service before it, during which another client takes the number.

Where they are running out, more are asked for before anybody has to wait (refills.py).

What is kept can be thrown away at any moment: another question brings the same. It cannot be stale, for each use is checked
against the study as it is locked for the write that stores the trial: a suggestion is used for no number but its own, for no
specification but that with which it was asked for, and, where the algorithm had suggested all trials till then, for none after
another's. Nor is it used for long: the service may be replaced by another.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from katib.domain.study import Study, StudySpec
from katib.manager.service_ports import Suggestion

# Each time a service is asked again it is asked for twice as many, up to so many.
MOST_AHEAD: Final = 64
# A study for which so many are asked for ahead is busy: its service is asked for more once half of what it gave is gone.
_BUSY: Final = 8
# By the monotonic clock.
FRESH_S: Final = 30.0
# Studies at once; of more, those used last are kept.
_STUDIES: Final = 1000


@dataclass(slots=True)
class _Shelf:
    spec: StudySpec | None = None
    # By number: the suggestion, and until when it may be used. Those that come later are no older.
    suggestions: dict[int, tuple[Suggestion, float]] = field(default_factory=dict)
    # They were suggested where the algorithm had suggested all trials before, and are for nothing else.
    alone: bool = True
    # The last number for which there is one.
    upto: int = 0
    # How many the last question brought.
    brought: int = 0
    # The service has no more than these: of fewer than somebody asks for, all are given.
    last: bool = False
    ahead: int = 0
    # Somebody asks for more, or has asked in vain: once the shelf is empty the next one asks and waits.
    refilling: bool = False
    # When whoever asks for more began to.
    asked: float = 0.0


class Prepared:
    """Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._shelves: OrderedDict[tuple[str, str], _Shelf] = OrderedDict()

    def has_some(self, study_id: str, algorithm: str) -> bool:
        """A hint: whether `take` may find any."""
        shelf = self._shelves.get((study_id, algorithm))
        return shelf is not None and bool(shelf.suggestions)

    def take(self, study: Study, algorithm: str, count: int) -> Sequence[Suggestion] | None:
        """For the study's next `count` trials, or as many as the service had; None when it has to be asked. Called again for
        the same numbers it says the same: a write may be made twice."""
        if count <= 0:
            return ()
        with self._lock:
            shelf = self._shelves.get((study.id, algorithm))
            if shelf is None:
                return None
            if shelf.spec is not study.spec and shelf.spec != study.spec:
                shelf.suggestions = {}
                return None
            if shelf.alone and not study.suggested_by(algorithm):
                shelf.suggestions = {}
                return None
            found: list[Suggestion] = []
            for number in range(study.suggested + 1, study.suggested + count + 1):
                suggested = shelf.suggestions.get(number)
                if suggested is None:
                    if not found and number > shelf.upto:
                        # What is left are numbers that have been given, or that another manager has.
                        shelf.suggestions = {}
                    return found if found and shelf.last else None
                if not found and self._clock() > suggested[1]:
                    shelf.suggestions = {}
                    return None
                found.append(suggested[0])
            return found

    def put(self, study: Study, algorithm: str, suggestions: Sequence[Suggestion], *, last: bool) -> None:
        """What a service has suggested for the trials that come next in the study as it was read. `last`: it had fewer than
        were needed."""
        with self._lock:
            shelf = self._shelf(study.id, algorithm)
            shelf.spec, shelf.suggestions = study.spec, {}
            shelf.alone = study.suggested_by(algorithm)
            self._fill(shelf, study.suggested, suggestions, self._clock())
            shelf.last = last

    def drop_others(self, study_id: str, algorithm: str) -> None:
        """Whatever other algorithms have suggested ahead: their services are asked next."""
        with self._lock:
            for (of, name), shelf in self._shelves.items():
                if of == study_id and name != algorithm:
                    shelf.suggestions = {}

    def begin_refill(self, study: Study, algorithm: str, count: int) -> tuple[int, int] | None:
        """Where few are left: how many are, for the trials that come next in the study as it is, and how many more to ask the
        service for. Whoever is told so asks, and says how it ended by `refill` or not at all; nobody else is told meanwhile.
        `count`: as many as one client asks for; where more than there would be, it has to wait for the service anyway."""
        key = study.id, algorithm
        # Without the lock at first: most calls end here.
        if not _is_low(self._shelves.get(key), study, count):
            return None
        with self._lock:
            shelf = self._shelves.get(key)
            if shelf is None or not _is_low(shelf, study, count):
                return None
            self._shelves.move_to_end(key)
            shelf.refilling, shelf.asked = True, self._clock()
            return shelf.upto - study.suggested, self._grow(shelf)

    def refill(self, study: Study, left: int, algorithm: str, suggestions: Sequence[Suggestion]) -> None:
        """As `put`, for the trials that come after the `left` ones that were on the shelf: `study` is as it will be once these
        are taken. None: the service has no more. Fewer than it was asked for may be all that it gives at once."""
        with self._lock:
            shelf = self._shelves.get((study.id, algorithm))
            if shelf is None or shelf.spec != study.spec or shelf.upto != study.suggested:
                return
            taken = study.suggested - left
            shelf.suggestions = {n: it for n, it in shelf.suggestions.items() if n > taken}
            self._fill(shelf, study.suggested, suggestions, shelf.asked)
            shelf.last = not suggestions

    def ahead(self, study_id: str, algorithm: str) -> int:
        """For whoever asks the service: how many to ask for beyond what is needed."""
        with self._lock:
            return self._grow(self._shelf(study_id, algorithm))

    @staticmethod
    def _grow(shelf: _Shelf) -> int:
        ahead = shelf.ahead
        shelf.ahead = min(2 * ahead + 1, MOST_AHEAD)
        return ahead

    @staticmethod
    def _fill(shelf: _Shelf, number: int, suggestions: Sequence[Suggestion], since: float) -> None:
        until = since + FRESH_S
        shelf.suggestions |= {n: (it, until) for n, it in enumerate(suggestions, number + 1)}
        shelf.upto, shelf.brought = number + len(suggestions), len(suggestions)
        shelf.refilling = False

    def _shelf(self, study_id: str, algorithm: str) -> _Shelf:
        key = study_id, algorithm
        shelf = self._shelves.setdefault(key, _Shelf())
        self._shelves.move_to_end(key)
        if len(self._shelves) > _STUDIES:
            self._shelves.popitem(last=False)
        return shelf


def _is_low(shelf: _Shelf | None, study: Study, count: int) -> bool:
    """Whether a service is to be asked for more: half of what it gave last is gone, and some is left."""
    if shelf is None or shelf.refilling or shelf.last or shelf.ahead < _BUSY:
        return False
    left = shelf.upto - study.suggested
    return 0 < 2 * left <= shelf.brought and count <= left + shelf.ahead
