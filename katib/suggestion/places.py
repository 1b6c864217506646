"""Which points of a study a fixed order has left, remembered from call to call: for speed alone.

Places are numbers that are the same for the same values, however these are written.
"""

import threading
from array import array
from collections.abc import Callable, Collection, Sequence
from typing import Final
from weakref import ref

from katib.domain.search_space import Parameter, SearchSpace
from katib.domain.trial import Trial

_ELSEWHERE: Final = -1


class _Kept(ref[Trial]):
    __slots__ = ("key",)
    key: int


class Places:
    """Of one study and one order. Safe from any thread."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._lock = threading.Lock()
        self._numbers: dict[bytes, int] = {}
        # By the order's index.
        self._of_points: dict[int, int] = {}
        # By the object's id, for as long as there is the object: how many trials a service keeps is decided elsewhere.
        self._of_trials: dict[int, int] = {}
        self._trials: dict[int, _Kept] = {}

    def taken(self, trials: Sequence[Trial]) -> Collection[int]:
        """The places that these have. One that is not of this space has none that a point has."""
        with self._lock:
            for trial in trials:
                if id(trial) not in self._of_trials:
                    self._add(trial)
            return set(map(self._of_trials.__getitem__, map(id, trials)))

    def of_point(self, index: int, at: Callable[[int], Sequence[Parameter]]) -> int:
        """That of the order's point `index`, which is `at(index)`."""
        place = self._of_points.get(index)
        if place is None:
            point = at(index)
            with self._lock:
                place = self._of_points[index] = self._place(point)
        return place

    def _add(self, trial: Trial) -> None:
        kept = _Kept(trial, self._gone)
        kept.key = id(trial)
        self._of_trials[kept.key] = self._place(trial.parameters)
        self._trials[kept.key] = kept

    def _gone(self, kept: "_Kept") -> None:
        self._trials.pop(kept.key, None)
        self._of_trials.pop(kept.key, None)

    def _place(self, parameters: Sequence[Parameter]) -> int:
        values = {p.name: p.value for p in parameters}
        if not all(d.name in values and d.contains(values[d.name]) for d in self._space):
            return _ELSEWHERE
        # Whatever zero's sign is.
        unit = array("d", (u + 0.0 for u in self._space.to_unit(parameters)))
        return self._numbers.setdefault(unit.tobytes(), len(self._numbers))
