"""Generations and runs, told from the tags of a study's trials: whoever reads them comes to the same distribution.

A generation is complete when as many of its trials as it has places came to an end. Its other trials, asked for because there
was room while the last ones ran, count when they end. The first tagged trial of a later run ends the run before.
"""

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from weakref import ref

import numpy as np

from katib.domain.search_space import ParameterConfig
from katib.domain.study import Objective
from katib.domain.trial import Tag, Trial, TrialState
from katib.suggestion.cells import Cells, Ints, Points, together
from katib.suggestion.cmaes.strategy import Distribution
from katib.suggestion.gp.encoding import Floats
from katib.suggestion.seen import seen

RUN: Final = "CMAES_run"
GENERATION: Final = "CMAES_generation"
# The coordinates in the cube before they became values with steps: the update wants these.
SAMPLE: Final = "CMAES_sample"
_DIGITS: Final = 9
# A run ends when its best values of so many generations are all the same.
_FLAT: Final = 10
# A tag that says more is not ours: no study has so many.
_MOST_RUNS: Final = 10_000
# Trials of a generation. Nor does one grow beyond this, whatever its run.
_MOST_MEMBERS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Style:
    """`size`: trials of a generation of the first run, None: by the number of parameters. `step`: the deviation that a run
    begins with, of each number's range."""

    size: int | None
    step: float
    restarts: str


@dataclass(frozen=True, slots=True)
class Member:
    """A trial that this algorithm suggested. `cost`: the less, the better; infinite where it failed, None: not known."""

    number: int
    run: int
    generation: int
    point: Points
    cost: float | None


@dataclass(frozen=True, slots=True)
class Stranger:
    """A trial that somebody else suggested."""

    number: int
    point: Points
    cost: float | None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins. `chosen`: the categories that it begins with; None: with all of them."""

    mean: Floats
    chosen: Ints | None = None

    def key(self) -> bytes:
        return self.mean.tobytes() + (b"" if self.chosen is None else self.chosen.tobytes())


@dataclass(frozen=True, slots=True)
class Position:
    """Where the study is: what the next suggestions are drawn from."""

    run: int
    generation: int
    distribution: Distribution

    def tags(self, point: Points) -> tuple[Tag, ...]:
        sample = ",".join(repr(round(float(x), _DIGITS)) for x in point.numbers[0])
        return Tag(RUN, str(self.run)), Tag(GENERATION, str(self.generation)), Tag(SAMPLE, sample)


class Memory:
    """What was made of a study's trials and generations the last time, for speed alone: a trial that is the very object it was,
    and a generation of the same points from the same distribution, come to the same again. Safe from any thread."""

    def __init__(self, cells: Cells, objective: Objective | None) -> None:
        self.cells = cells
        self._objective = objective
        self._lock = threading.Lock()
        self._read: dict[str, tuple[ref[Trial], Member | Stranger | None]] = {}
        # By run and generation, with what it came from.
        self._begun: dict[int, tuple[bytes, Distribution]] = {}
        self._updated: dict[tuple[int, int], tuple[Distribution, bytes, Distribution]] = {}

    def read(self, trials: Iterable[Trial]) -> list[Member | Stranger]:
        """Those whose parameters are of this search space."""
        with self._lock:
            known = self._read
            found = [
                entry[1] if (entry := known.get(t.id)) is not None and entry[0]() is t else self._reading(t)
                for t in trials
            ]
        return [r for r in found if r is not None]

    def _reading(self, trial: Trial) -> Member | Stranger | None:
        rows, _ = self.cells.encoding.rows([trial.parameters])
        reading: Member | Stranger | None = None
        if len(rows):
            cost = _cost(trial, self._objective)
            point = self.cells.points(rows)
            reading = _member(trial, point, cost) or Stranger(trial.number, point, cost)
        if trial.state.finished:
            self._read[trial.id] = ref(trial), reading
        return reading

    def begin(self, run: int, at: Start, step: float, size: int) -> Distribution:
        given = at.key() + np.array([step, size]).tobytes()
        with self._lock:
            known = self._begun.get(run)
            if known is None or known[0] != given:
                known = self._begun[run] = given, Distribution.begin(self.cells, at.mean, step, size, at.chosen)
            return known[1]

    def updated(self, run: int, generation: int, before: Distribution, points: Points) -> Distribution:
        given = points.numbers.tobytes() + points.categories.tobytes()
        with self._lock:
            known = self._updated.get((run, generation))
            if known is None or known[0] is not before or known[1] != given:
                known = self._updated[run, generation] = before, given, before.updated(points)
            return known[2]


class Runs:
    def __init__(self, memory: Memory, trials: Iterable[Trial], seed: int, style: Style) -> None:
        self._memory = memory
        self._cells = memory.cells
        self._seed = seed
        self._style = style
        self._members: dict[int, dict[int, list[Member]]] = {}
        strangers = []
        for read in memory.read(trials):
            if isinstance(read, Stranger):
                strangers.append(read)
            else:
                self._members.setdefault(read.run, {}).setdefault(read.generation, []).append(read)
        first = min((m.number for run in self._members.values() for g in run.values() for m in g), default=math.inf)
        # Those that came first are what is known at the beginning; later ones must not move it.
        self._before = [(s.cost, s.number, s.point) for s in strangers if s.cost is not None and s.number < first]

    def position(self) -> Position:
        first = large = size = self._size()
        step = self._style.step
        last = max(self._members, default=0)
        # What the runs with larger and with smaller generations have had; the first one is neither.
        spent = {"first": 0, "larger": 0, "smaller": 0}
        kind = "first"
        run = 0
        while True:
            position, over = self._through(run, self._memory.begin(run, self._start(run), step, size), size)
            if run >= last and not over:
                return position
            spent[kind] += sum(map(len, self._members.get(run, {}).values()))
            run += 1
            # Hansen, "Benchmarking a BI-population CMA-ES" (2009).
            if self._style.restarts == "bipop" and spent["smaller"] < spent["larger"]:
                kind = "smaller"
                u, v = np.random.default_rng([self._seed, run, 1]).random(2)
                size = int(first * (0.5 * large / first) ** (u * u))
                step = self._style.step * 10.0 ** (-2.0 * v)
            else:
                kind = "larger"
                large = min(2 * large, _MOST_MEMBERS)
                size, step = large, self._style.step

    def _through(self, run: int, distribution: Distribution, size: int) -> tuple[Position, bool]:
        """Where a run is, and whether it has come to its end."""
        generations = self._members.get(run, {})
        bests: list[float] = []
        while True:
            members = generations.get(len(bests), [])
            if self._style.restarts != "none" and not members and (distribution.spent or _flat(bests)):
                return Position(run, len(bests), distribution), True
            known = sorted((m.cost, m.number, i) for i, m in enumerate(members) if m.cost is not None)
            if len(known) < size:
                return Position(run, len(bests), distribution), False
            points = together(*(members[i].point for _, _, i in known))
            distribution = self._memory.updated(run, len(bests), distribution, points)
            bests.append(known[0][0])

    def _size(self) -> int:
        if self._style.size is not None:
            return self._style.size
        return 4 + int(1.5 * math.log(max(len(self._cells.encoding), 1)))

    def _start(self, run: int) -> Start:
        n = len(self._cells.borders)
        if run:
            return Start(np.random.default_rng([self._seed, run, 0]).random(n))
        cost, _, point = min(self._before, key=lambda known: known[:2], default=(math.inf, 0, None))
        if point is None or cost == math.inf:
            return Start(np.full(n, 0.5))
        return Start(point.numbers[0], point.categories[0])


def _cost(trial: Trial, objective: Objective | None) -> float | None:
    """None: not known, or stopped before there was a value."""
    value = trial.objective
    if not trial.state.finished or (trial.state is TrialState.KILLED and value is None):
        return None
    if trial.state is TrialState.ERROR or value is None or not math.isfinite(value):
        return math.inf
    return -value if objective is Objective.MAXIMIZE else value


def _member(trial: Trial, point: Points, cost: float | None) -> Member | None:
    tags = {t.name: t.value for t in trial.tags}
    try:
        run, generation = int(tags[RUN]), int(tags[GENERATION])
        numbers = [float(x) for x in tags[SAMPLE].split(",") if x]
    except (KeyError, ValueError):
        return None
    if (
        not 0 <= run <= _MOST_RUNS
        or len(numbers) != point.numbers.shape[1]
        or not all(0.0 <= x <= 1.0 for x in numbers)
    ):
        return None
    return Member(trial.number, run, generation, Points(np.array([numbers]), point.categories), cost)


def _flat(bests: Sequence[float]) -> bool:
    return len(bests) >= _FLAT and max(bests[-_FLAT:]) == min(bests[-_FLAT:])


@lru_cache(maxsize=32)
def memory(study_id: str, parameters: tuple[ParameterConfig, ...], objective: Objective | None) -> Memory:
    """That of a study, by what its request says of it."""
    return Memory(seen(study_id, parameters).cells, objective)
