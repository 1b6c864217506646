"""Which points of a study a fixed order has left, remembered from call to call: for speed alone.

Places are numbers that are the same for the same values, however these are written.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Final
from weakref import ref

from katib.domain.search_space import Parameter, SearchSpace
from katib.domain.trial import Trial

_ELSEWHERE: Final = -1


class Places:
    """Of one study and one order. Safe from any thread."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._lock = threading.Lock()
        self._numbers: dict[tuple[float, ...], int] = {}
        # By the order's index.
        self._of_points: dict[int, int] = {}
        # By the object's id, for as long as there is the object: how many trials a service keeps is decided elsewhere.
        self._of_trials: dict[int, int] = {}
        self._trials: dict[int, ref[Trial]] = {}

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
        key = id(trial)

        def gone(_: object) -> None:
            self._trials.pop(key, None)
            self._of_trials.pop(key, None)

        self._of_trials[key] = self._place(trial.parameters)
        self._trials[key] = ref(trial, gone)

    def _place(self, parameters: Sequence[Parameter]) -> int:
        values = {p.name: p.value for p in parameters}
        if not all(d.name in values and d.contains(values[d.name]) for d in self._space):
            return _ELSEWHERE
        return self._numbers.setdefault(tuple(self._space.to_unit(parameters)), len(self._numbers))
