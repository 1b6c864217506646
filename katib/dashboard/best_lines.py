"""How the best objective of a study came about, for the small line in the list of studies."""

import math
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from katib.api.client import ManagerClient
from katib.dashboard.changes import changes_of
from katib.dashboard.text import rounded
from katib.domain.study import Objective
from katib.domain.trial import TrialState
from katib.domain.trial_columns import TrialColumns

# Wider than the line is drawn.
_POINTS: Final = 200
_KEPT: Final = 2000
# Of one line, where every trial of many is better than the one before; and of all lines together.
_STEPS: Final = 400
_ALL_STEPS: Final = 200_000


class BestLines:
    """Of each study it keeps which trials were better than all before them, by number, and to which revision it was read: what
    a study has done since is a small question, and what comes late may be put in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Line] = OrderedDict()
        self._steps = 0

    def of(self, client: ManagerClient, study_id: str) -> list[object] | None:
        """The best so far at up to 200 of its trials from the first that completed to the last; None while a part of a large
        study is still to be read, by asking again."""
        with self._lock:
            line = self._known.get(study_id)
        if line is None:
            spec = client.get_study(study_id).spec
            line = _Line(spec.optimization is Objective.MAXIMIZE, len(spec.parameters))
        more = False
        # Also where nothing has changed: the manager says whether the reader may see it.
        for change in changes_of(client, study_id, line.revision, line.parameters):
            line, more = line.after(change.trials, change.revision), change.more
        with self._lock:
            known = self._known.get(study_id)
            if known is None or known.revision <= line.revision:
                self._known[study_id] = line
                self._steps += len(line.steps) - (len(known.steps) if known else 0)
            self._known.move_to_end(study_id)
            while len(self._known) > _KEPT or self._steps > _ALL_STEPS:
                _, oldest = self._known.popitem(last=False)
                self._steps -= len(oldest.steps)
        return None if more else line.points()


@dataclass(frozen=True, slots=True)
class _Line:
    up: bool
    parameters: int
    revision: int = 0
    last: int = 0
    steps: tuple[tuple[int, float], ...] = ()

    def after(self, trials: TrialColumns, revision: int) -> "_Line":
        found = [
            (number, value)
            for number, state, value in zip(trials.numbers, trials.states, trials.objectives, strict=True)
            if state is TrialState.COMPLETED and value is not None and math.isfinite(value)
        ]
        last = max([self.last, *(number for number, _ in found)])
        return replace(self, revision=revision, last=last, steps=self._best_of([*self.steps, *found]))

    def _best_of(self, found: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        steps: list[tuple[int, float]] = []
        for number, value in sorted(found):
            if not steps or (value > steps[-1][1] if self.up else value < steps[-1][1]):
                steps.append((number, value))
        return _thinned(steps)

    def points(self) -> list[object]:
        if not self.steps:
            return []
        first = self.steps[0][0]
        count = min(self.last - first + 1, _POINTS)
        places = [first + round(i * (self.last - first) / max(count - 1, 1)) for i in range(count)]
        numbers = [number for number, _ in self.steps]
        return [rounded(self.steps[bisect_right(numbers, place) - 1][1]) for place in places]


def _thinned(steps: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """The first and the latest one, and so many between that those left out could hardly be told apart in the drawing. By
    their numbers and not their count: a line is thinned again and again, and its beginning is not to wear away."""
    if len(steps) <= _STEPS:
        return tuple(steps)
    apart = (steps[-1][0] - steps[0][0]) / (_STEPS - 1)
    kept = [steps[0]]
    for step in steps[1:-1]:
        if step[0] - kept[-1][0] >= apart:
            kept.append(step)
    return (*kept, steps[-1])
