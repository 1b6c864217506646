"""The values of one metric of a trial, and at which step of its training each of them stands."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

# The greatest step that the wire and the databases hold.
_LAST: Final = 2**63 - 1


class Curve:
    """Grows by `add`; what is there never changes.

    A value's step is the one that the trial named. One without stands a step after the value before, the first one at step 1:
    of a trial that names none the steps are 1, 2, 3, ... A step that is less than one before counts as that one, so steps never
    go back.
    """

    __slots__ = ("_steps", "_values")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._values = array("d", values)
        # None: 1, 2, 3, ...
        self._steps: array[int] | None = None

    @property
    def values(self) -> Sequence[float]:
        return self._values

    @property
    def last_step(self) -> int:
        """0 where there is no value."""
        return self._steps[-1] if self._steps else len(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float, step: int | None = None) -> None:
        last = self.last_step
        at = min(last + 1, _LAST) if step is None else max(step, last) if self._values else step
        if self._steps is None and at != len(self._values) + 1:
            self._steps = array("q", range(1, len(self._values) + 1))
        self._values.append(value)
        if self._steps is not None:
            self._steps.append(at)

    def step(self, index: int) -> int:
        return index + 1 if self._steps is None else self._steps[index]

    def index(self, step: int) -> int | None:
        """Of the last value at this step or before; None where there is none."""
        count = min(step, len(self._values)) if self._steps is None else bisect_right(self._steps, step)
        return count - 1 if count > 0 else None
