"""What a peer is asked and told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.quality.problems import Problem, Values
from katib.domain.parameters import ParameterConfig, ParameterType


class Contestant(Protocol):
    def ask(self, count: int) -> Sequence[tuple[Any, Values]]:
        """So many trials that run from now on: a handle and the values of each."""

    def tell(self, handle: Any, value: float) -> None: ...


@dataclass(frozen=True)
class Peer:
    """`library`: the name of its distribution, whose version is kept with each result."""

    library: str
    make: Callable[[Problem, int], Contestant]


def levels(parameter: ParameterConfig) -> list[float] | None:
    """Of a number with linear steps, all of its values. For libraries whose numbers have no steps."""
    f = parameter.feasible
    if not f.step:
        return None
    low, high, step = float(f.min), float(f.max), float(f.step)
    values = [round(low + i * step, 12) for i in range(int((high - low) / step + 1e-9) + 1)]
    return [float(round(v)) for v in values] if parameter.type is ParameterType.INT else values


def listed(parameter: ParameterConfig) -> list[Any] | None:
    """The values of a list, as a problem wants them."""
    if parameter.type is ParameterType.CATEGORICAL:
        return list(parameter.feasible.list)
    if parameter.type is ParameterType.DISCRETE:
        return [float(v) for v in parameter.feasible.list]
    return None
