"""One parameter of a checked search space: its values, and where they lie in the unit interval."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.parameters import Parameter, ParameterType, Scale

# Up to here a value's number and its place in the unit interval determine each other in double precision: for 2^50
# equal shares, and for steps down to a 2^40th of the maximum on a log scale, where rounding weighs more.
MAX_STEPS: Final = 2**50
MAX_LOG_STEPS: Final = 2**40


class Spread:
    """Some values of a dimension, each computed when it is asked for: a million points cost nothing."""

    def __init__(self, points: int, value: Callable[[int], str]) -> None:
        self._points = points
        self._value = value

    def __len__(self) -> int:
        return self._points

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self._points:
            raise IndexError(f"no point {index} of {self._points}")
        return self._value(index)

    def __iter__(self) -> Iterator[str]:
        return map(self._value, range(self._points))


class Dimension(ABC):
    """One parameter of a checked search space, and one coordinate of the unit cube."""

    def __init__(self, name: str, type_: ParameterType) -> None:
        self.name = name
        self.type = type_

    @property
    @abstractmethod
    def cardinality(self) -> int | None:
        """How many different values there are; None for a continuum."""

    @property
    def equal_shares(self) -> bool:
        """Whether each of finitely many values has the same share of [0, 1]."""
        return self.cardinality is not None

    @abstractmethod
    def from_unit(self, u: float) -> str:
        """The value at coordinate `u`; outside [0, 1] that of the nearer end. Equal shares of [0, 1] are equally likely
        on the parameter's scale."""

    @abstractmethod
    def to_unit(self, value: str) -> float:
        """The coordinate of a value. `from_unit(to_unit(v))` is v, for a continuum to within rounding. Numbers outside the
        bounds are clipped to the interval.

        Raises InvalidArgumentError when `value` is nothing of this parameter's kind.
        """

    @abstractmethod
    def at(self, index: int) -> str:
        """The value number `index` from 0 to cardinality - 1, in the order of the configuration. IndexError beyond."""

    @abstractmethod
    def index_of(self, value: str) -> int:
        """The number that `at` has for a value. Raises InvalidArgumentError when it is none of them."""

    @abstractmethod
    def spread(self, points: int) -> Spread:
        """`points` different values, fewer only where there are not so many, evenly over the range on the parameter's
        scale or over its list, both ends included and in the order of the configuration; one point is the minimum, or
        the first of a list."""

    def contains(self, value: str) -> bool:
        """Whether the study allows this value."""
        try:
            self.index_of(value)
        except InvalidArgumentError:
            return False
        return True

    def parameter(self, value: str) -> Parameter:
        return Parameter(self.name, self.type, value)


class NumericDimension(Dimension):
    """DOUBLE or INT, linear or log, with or without a step."""

    def __init__(
        self, name: str, type_: ParameterType, low: Decimal, high: Decimal, step: Decimal | None, scale: Scale
    ) -> None:
        super().__init__(name, type_)
        self.low = low
        self.high = high
        self.step = step
        self.scale = scale

    @property
    def _log(self) -> bool:
        return self.scale is Scale.LOG

    def _text(self, value: Decimal | float) -> str:
        return str(int(value)) if self.type is ParameterType.INT else repr(float(value))


class ContinuousDimension(NumericDimension):
    """Every double from `low` to `high`, which is more than `low`."""

    def __init__(self, name: str, low: Decimal, high: Decimal, scale: Scale) -> None:
        super().__init__(name, ParameterType.DOUBLE, low, high, None, scale)
        self._bounds = float(low), float(high)
        self._start, self._end = map(math.log, self._bounds) if self._log else self._bounds
        # Halved where the width of the range is beyond the largest double.
        self._unit = 0.5 if math.isinf(self._end - self._start) else 1.0

    @property
    def cardinality(self) -> None:
        return None

    def from_unit(self, u: float) -> str:
        low, high = self._bounds
        if u <= 0.0 or u >= 1.0:
            return self._text(low if u <= 0.0 else high)
        # A weighted mean cannot overflow where high - low would.
        position = self._start * (1.0 - u) + self._end * u
        return self._text(_clip(math.exp(position) if self._log else position, low, high))

    def to_unit(self, value: str) -> float:
        number = _clip(_number(self.name, value), *self._bounds)
        start, end = self._start * self._unit, self._end * self._unit
        position = (math.log(number) if self._log else number) * self._unit
        # Of a study from before ranges were refused that have but one logarithm.
        return _clip((position - start) / (end - start), 0.0, 1.0) if end > start else 0.5

    def at(self, index: int) -> str:
        raise IndexError(f"{self.name} is a continuum: it has no value number {index}")

    def index_of(self, value: str) -> int:
        raise InvalidArgumentError.of(self.name, value, "expected nothing: the values of a continuum have no numbers")

    def contains(self, value: str) -> bool:
        try:
            return self._bounds[0] <= _number(self.name, value) <= self._bounds[1]
        except InvalidArgumentError:
            return False

    def spread(self, points: int) -> Spread:
        if points <= 1:
            return Spread(1, lambda _: self._text(self.low))
        low, high = self.low, self.high

        # In decimal: 0.01 between 0.001 and 0.1 is 0.01 and not 0.010000000000000002.
        def value(index: int) -> str:
            share = Decimal(index) / (points - 1)
            rest = 1 - share
            number = low**rest * high**share if self._log else low * rest + high * share
            return self._text(_clip(float(number), *self._bounds))

        return Spread(points, value)


class SteppedDimension(NumericDimension):
    """DOUBLE with a step or a single value, or INT: the values low + k * step up to high.

    On a linear scale each has an equal share of the interval, on a log scale the share that its cell
    [value - step/2, value + step/2] has.
    """

    def __init__(
        self, name: str, type_: ParameterType, low: Decimal, high: Decimal, step: Decimal, scale: Scale
    ) -> None:
        super().__init__(name, type_, low, high, step, scale)
        self._step = step
        self._count = int((high - low) // step) + 1
        if self._log:
            last = low + (self._count - 1) * step
            self._ends = math.log(low), math.log(last)
            # The edges of the outer cells; the lowest one must not reach zero. In logarithms: nothing over- or underflows.
            self._start = self._ends[0] + math.log1p(-min(float(step / low) / 2, 0.5))
            self._end = self._ends[1] + math.log1p(float(step / last) / 2)

    @property
    def cardinality(self) -> int:
        return self._count

    @property
    def equal_shares(self) -> bool:
        return not self._log or self._count == 1

    def from_unit(self, u: float) -> str:
        u = _clip(u, 0.0, 1.0)
        if self.equal_shares:
            return self.at(min(int(u * self._count), self._count - 1))
        position = self._start * (1.0 - u) + self._end * u
        return self.at(self._nearest(math.exp(_clip(position, *self._ends))))

    def to_unit(self, value: str) -> float:
        index = self._nearest(_number(self.name, value))
        if self.equal_shares:
            return (index + 0.5) / self._count
        return (math.log(float(self._value(index))) - self._start) / (self._end - self._start)

    def at(self, index: int) -> str:
        if not 0 <= index < self._count:
            raise IndexError(f"{self.name} has no value number {index}")
        return self._text(self._value(index))

    def index_of(self, value: str) -> int:
        number = _number(self.name, value)
        index = self._nearest(number)
        if float(self._value(index)) != number:
            raise InvalidArgumentError.of(self.name, value, f"expected {self.low} + k * {self.step} up to {self.high}")
        return index

    def spread(self, points: int) -> Spread:
        if points <= 1 or self.equal_shares:
            return _evenly(points, self._count, self.at)
        points = min(points, self._count)
        last = self._count - 1
        low, high = self._ends

        def value(i: int) -> str:
            # Where the steps are wider than the points are apart, one step a point. The distance of the points grows, so
            # from where they are wider apart than the steps no two of them share a value.
            share = i / (points - 1)
            index = self._nearest(math.exp(low * (1.0 - share) + high * share))
            return self.at(min(max(i, index), last - (points - 1 - i)))

        return Spread(points, value)

    def _value(self, index: int) -> Decimal:
        # Never beyond the maximum, though decimals round where low and high differ by more than 28 digits.
        return min(self.low + index * self._step, self.high)

    def _nearest(self, number: float) -> int:
        offset = (Decimal(number) - self.low) / self._step
        return min(max(int(offset.to_integral_value(ROUND_HALF_UP)), 0), self._count - 1)


class ListDimension(Dimension):
    """DISCRETE or CATEGORICAL: values are the texts of the list, verbatim, in equal shares of the interval.

    DISCRETE values lie in it by the size of their numbers, so that neighbours are near; `at` keeps the list's order.
    """

    def __init__(self, name: str, type_: ParameterType, values: Sequence[str]) -> None:
        super().__init__(name, type_)
        self.values = tuple(values)
        self._ordered = tuple(sorted(self.values, key=float)) if type_ is ParameterType.DISCRETE else self.values
        self._index = {self._key(v): i for i, v in enumerate(self.values)}
        self._rank = {self._key(v): i for i, v in enumerate(self._ordered)}

    @property
    def cardinality(self) -> int:
        return len(self.values)

    def from_unit(self, u: float) -> str:
        count = len(self._ordered)
        return self._ordered[min(int(_clip(u, 0.0, 1.0) * count), count - 1)]

    def to_unit(self, value: str) -> float:
        return (self._rank[self._known(value)] + 0.5) / len(self._ordered)

    def at(self, index: int) -> str:
        if not 0 <= index < len(self.values):
            raise IndexError(f"{self.name} has no value number {index}")
        return self.values[index]

    def index_of(self, value: str) -> int:
        return self._index[self._known(value)]

    def spread(self, points: int) -> Spread:
        return _evenly(points, len(self.values), self.at)

    def _key(self, value: str) -> str | float:
        return _number(self.name, value) if self.type is ParameterType.DISCRETE else value

    def _known(self, value: str) -> str | float:
        key = self._key(value)
        if key not in self._index:
            raise InvalidArgumentError.of(self.name, value, "expected one of the parameter's list")
        return key


def _evenly(points: int, count: int, value: Callable[[int], str]) -> Spread:
    """`points` of `count` numbered values, both ends included."""
    points = max(1, min(points, count))
    if points == 1:
        return Spread(1, value)
    # i * (count - 1) / (points - 1), rounded half up in whole numbers.
    return Spread(points, lambda i: value((2 * i * (count - 1) + points - 1) // (2 * (points - 1))))


def _clip(number: float, low: float, high: float) -> float:
    return min(max(number, low), high)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise InvalidArgumentError.of(name, value, "expected a number") from None
    if not math.isfinite(number):
        raise InvalidArgumentError.of(name, value, "expected a finite number")
    return number
