"""The trials of a study as rows, those that have ended remembered from call to call: for speed alone.

A trial that has ended does not change, so one that is the very object it was the last time has the row that it had. It is known
by a weak reference: how many trials a service keeps is decided elsewhere.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from katib.domain.search_space import ParameterConfig, SearchSpace
from katib.domain.study import Objective
from katib.domain.trial import Trial, TrialState
from katib.suggestion.cells import Cells
from katib.suggestion.gp.encoding import Encoding, Floats, columns_for

# What became of a trial: it has an objective, it has failed by its own doing, or it says nothing.
_GOOD, _FAILED, _SILENT = range(3)
_FIRST_ROWS: Final = 64
# Those that `Encoding.key` tells apart.
_DIGITS: Final = 9
# So many questions cost less than a set of all.
_FEW: Final = 64


class Taken:
    """Points that trials have had. As quick for ten thousand as for ten, where only a few are asked for."""

    def __init__(self, encoding: Encoding, rows: Floats) -> None:
        self._size = encoding.space.cardinality
        self._rounded = np.round(rows, _DIGITS)
        self._added: set[tuple[float, ...]] = set()
        # All of them, once many have been asked for, as near the end of a finite space.
        self._whole: set[tuple[float, ...]] | None = None
        self._asked = 0

    def __contains__(self, key: object) -> bool:
        if self._whole is None:
            self._asked += 1
            if self._asked <= _FEW:
                return key in self._added or bool((self._rounded == np.array(key)).all(axis=1).any())
            self._whole = self.keys()
        return key in self._whole

    def add(self, key: tuple[float, ...]) -> None:
        (self._added if self._whole is None else self._whole).add(key)

    def keys(self) -> set[tuple[float, ...]]:
        """All of them, for who asks for many."""
        return set(map(tuple, self._rounded.tolist())) | self._added if self._whole is None else set(self._whole)

    @property
    def everything(self) -> bool:
        """Whether a finite space has no other point."""
        if self._size is None:
            return False
        if self._whole is None:
            if len(self._rounded) + len(self._added) < self._size:
                return False
            self._whole = self.keys()
        return len(self._whole) >= self._size


@dataclass(frozen=True)
class Past:
    """Rows by what became of them: `x` with the objective `y` (the less, the better) in the order of the trials' numbers,
    `failed` without one through their own doing, `pending` not yet known. `taken` has the points of all."""

    x: Floats
    y: Floats
    failed: Floats
    pending: Floats
    taken: Taken


class Seen:
    """One study's. Safe from any thread."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.cells = Cells(encoding)
        self._lock = threading.Lock()
        # The trial, and its place in the arrays; -1: its parameters are not of this space.
        self._places: dict[str, tuple[ref[Trial], int]] = {}
        self._count = 0
        self._rows: Floats = np.empty((_FIRST_ROWS, len(encoding)))
        self._values: Floats = np.empty(_FIRST_ROWS)
        self._kinds: NDArray[np.int8] = np.empty(_FIRST_ROWS, dtype=np.int8)

    def past(self, finished: Sequence[Trial], unfinished: Sequence[Trial], objective: Objective | None) -> Past:
        """A trial that was stopped counts with the last value it came to, and without one says nothing. One that ended without
        a finite number has failed: NaN and infinities say that something broke, not how good it was."""
        if not all(t.id for t in finished):
            # Who asks without a manager may not name them. Nothing is remembered of those.
            finished = [replace(t, id=f"number {i}") for i, t in enumerate(finished)]
            return Seen(self.encoding).past(finished, unfinished, objective)
        with self._lock:
            known = self._places
            places = [
                entry[1] if (entry := known.get(t.id)) is not None and entry[0]() is t else self._add(t)
                for t in finished
            ]
            which = np.array(places, dtype=np.intp)
            which = which[which >= 0]
            rows, values, kinds = self._rows[which], self._values[which], self._kinds[which]
            pending = self.encoding.rows(t.parameters for t in unfinished)[0]
        good = kinds == _GOOD
        y = -values[good] if objective is Objective.MAXIMIZE else values[good]
        taken = Taken(self.encoding, np.concatenate([rows, pending]))
        return Past(rows[good], y, rows[kinds == _FAILED], pending, taken)

    def _add(self, trial: Trial) -> int:
        """The place of a trial that is new here, or another object than before."""
        rows, _ = self.encoding.rows([trial.parameters])
        known = self._places.get(trial.id)
        place = -1 if known is None else known[1]
        if not len(rows):
            place = -1
        elif place < 0:
            place = self._count
            self._count += 1
            if place == len(self._values):
                self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
                self._values = np.concatenate([self._values, np.empty_like(self._values)])
                self._kinds = np.concatenate([self._kinds, np.empty_like(self._kinds)])
        if place >= 0:
            value = trial.objective
            fine = trial.state is not TrialState.ERROR and value is not None and math.isfinite(value)
            silent = trial.state is TrialState.KILLED and value is None
            self._rows[place] = rows[0]
            self._values[place] = value if fine else math.nan
            self._kinds[place] = _GOOD if fine else _SILENT if silent else _FAILED
        self._places[trial.id] = ref(trial), place
        return place


@lru_cache(maxsize=32)
def seen(study_id: str, parameters: tuple[ParameterConfig, ...]) -> Seen:  # noqa: ARG001 - a key
    """That of a study, by the search space that its request has."""
    return Seen(Encoding(SearchSpace.of(parameters), columns_for(parameters)))
