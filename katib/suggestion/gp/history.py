"""A study's trials as matrices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from katib.domain.study import Objective
from katib.domain.trial import Trial, TrialState
from katib.suggestion.gp.encoding import Encoding, Floats


@dataclass(frozen=True)
class Past:
    """Rows by what became of them: `x` with the objective `y` (the less, the better), `failed` without one through their own
    doing, `pending` not yet known. `taken` has the keys of all."""

    x: Floats
    y: Floats
    failed: Floats
    pending: Floats
    taken: frozenset[tuple[float, ...]]


def past(
    encoding: Encoding, finished: Sequence[Trial], unfinished: Sequence[Trial], objective: Objective | None
) -> Past:
    """A trial that was stopped counts with the last value it came to, and without one says nothing. One that ended without a
    finite number has failed: NaN and infinities say that something broke, not how good it was."""
    sign = -1.0 if objective is Objective.MAXIMIZE else 1.0
    rows, which = encoding.rows(t.parameters for t in finished)
    trials = [finished[i] for i in which]
    values = [t.objective for t in trials]
    good = np.array(
        [
            t.state is not TrialState.ERROR and v is not None and math.isfinite(v)
            for t, v in zip(trials, values, strict=True)
        ],
        dtype=bool,
    )
    silent = np.array([t.state is TrialState.KILLED and v is None for t, v in zip(trials, values, strict=True)], bool)
    pending, _ = encoding.rows(t.parameters for t in unfinished)
    y = np.array([sign * v for v, ok in zip(values, good, strict=True) if ok and v is not None], dtype=np.float64)
    keys = {encoding.key(row) for row in rows} | {encoding.key(row) for row in pending}
    return Past(rows[good], y, rows[~good & ~silent], pending, frozenset(keys))
