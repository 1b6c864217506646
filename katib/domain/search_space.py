"""The search space: what may be tried, and the one transform between parameter values and the unit cube.

Values travel as strings with full precision. Algorithms never see them: they work with points in [0, 1]^d, one
coordinate per parameter in the order of the study's configuration, through `SearchSpace.to_unit` and `from_unit`. The
transform carries type, scale and step, so that an algorithm that is uniform in the cube is uniform on the parameter's own
scale, and every point of the cube becomes a value that the study allows.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from katib.domain.errors import FieldViolation, InvalidArgumentError, violation

MAX_PARAMETERS: Final = 200
MAX_LIST: Final = 1000
MAX_NAME: Final = 128
MAX_VALUE: Final = 1000
# Beyond 2^53 neighbouring whole numbers are one and the same double.
MAX_INT: Final = 2**53


class ParameterType(Enum):
    DOUBLE = "double"
    INT = "int"
    DISCRETE = "discrete"
    CATEGORICAL = "categorical"


class Scale(Enum):
    LINEAR = "linear"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class FeasibleSpace:
    """As the user wrote it: text, unchecked. Which fields count depends on the parameter's type."""

    min: str = ""
    max: str = ""
    list: tuple[str, ...] = ()
    step: str = ""
    scale: Scale = Scale.LINEAR


@dataclass(frozen=True, slots=True)
class ParameterConfig:
    name: str
    type: ParameterType | None
    feasible: FeasibleSpace


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of one trial."""

    name: str
    type: ParameterType
    value: str


class Dimension(ABC):
    """One parameter of a checked search space, and one coordinate of the unit cube."""

    def __init__(self, name: str, type_: ParameterType) -> None:
        self.name = name
        self.type = type_

    @property
    @abstractmethod
    def cardinality(self) -> int | None:
        """How many different values there are; None for a continuum."""

    @abstractmethod
    def from_unit(self, u: float) -> str:
        """The value at coordinate `u` in [0, 1]. Equal shares of [0, 1] are equally likely on the parameter's scale."""

    @abstractmethod
    def to_unit(self, value: str) -> float:
        """The coordinate of a value: `from_unit(to_unit(v))` is v. Values outside the bounds are clipped to the cube.

        Raises InvalidArgumentError when `value` is nothing of this parameter's kind.
        """

    @abstractmethod
    def at(self, index: int) -> str:
        """The value number `index` from 0 to cardinality - 1, in the order of the configuration."""

    @abstractmethod
    def spread(self, points: int) -> list[str]:
        """At most `points` different values evenly over the range on the parameter's scale, both ends included; one
        point is the minimum, or the first of a list."""

    def contains(self, value: str) -> bool:
        """Whether `value` is one that `from_unit` can give."""
        try:
            return self._same(self.from_unit(self.to_unit(value)), value)
        except InvalidArgumentError:
            return False

    def _same(self, a: str, b: str) -> bool:
        return a == b

    def parameter(self, value: str) -> Parameter:
        return Parameter(self.name, self.type, value)


class NumericDimension(Dimension):
    """DOUBLE or INT, linear or log, with or without a step.

    With a step (INT: always, 1 if none is given) the values are min + k * step up to max, each with an equal share of the
    cube on a linear scale, and on a log scale with the share that its cell [value - step/2, value + step/2] has.
    """

    def __init__(
        self, name: str, type_: ParameterType, low: Decimal, high: Decimal, step: Decimal | None, scale: Scale
    ) -> None:
        super().__init__(name, type_)
        self.low = low
        self.high = high
        self.step = step
        self.scale = scale
        self._count = None if step is None else int((high - low) / step) + 1
        if self._count is None:
            edges = (float(low), float(high))
            if low == high:
                self._count = 1
        else:
            assert step is not None
            last = low + (self._count - 1) * step
            # The lowest cell must not reach zero on a log scale.
            half = step / 2
            edges = (float(max(low - half, low / 2) if scale is Scale.LOG else low - half), float(last + half))
        self._edges = tuple(map(math.log, edges)) if scale is Scale.LOG else edges

    @property
    def cardinality(self) -> int | None:
        return self._count

    def from_unit(self, u: float) -> str:
        u = min(max(u, 0.0), 1.0)
        if self._count is not None and self.scale is Scale.LINEAR:
            return self.at(min(int(u * self._count), self._count - 1))
        low, high = self._edges
        # A weighted mean cannot overflow where high - low would.
        position = low * (1.0 - u) + high * u
        number = math.exp(position) if self.scale is Scale.LOG else position
        if self._count is not None:
            return self.at(self._nearest(number))
        return repr(min(max(number, float(self.low)), float(self.high)))

    def to_unit(self, value: str) -> float:
        number = _number(self.name, value)
        if self._count == 1:
            return 0.5
        if self._count is not None and self.scale is Scale.LINEAR:
            return (self._nearest(number) + 0.5) / self._count
        if self._count is not None:
            number = float(self.at(self._nearest(number)))
        number = min(max(number, float(self.low)), float(self.high))
        position = math.log(number) if self.scale is Scale.LOG else number
        low, high = self._edges
        return min(max((position / 2 - low / 2) / (high / 2 - low / 2), 0.0), 1.0)

    def at(self, index: int) -> str:
        if self._count is None or not 0 <= index < self._count:
            raise IndexError(f"{self.name} has no value number {index}")
        return self._text(self.low if self.step is None else self.low + index * self.step)

    def spread(self, points: int) -> list[str]:
        if points <= 1 or self._count == 1:
            return [self._text(self.low)]
        if self._count is not None and self.scale is Scale.LINEAR:
            points = min(points, self._count)
            return [self.at(round(i * (self._count - 1) / (points - 1))) for i in range(points)]
        ends = (float(self.low), float(self.high if self.step is None else Decimal(self.at(self._last))))
        low, high = (math.log(e) for e in ends) if self.scale is Scale.LOG else ends
        values: dict[str, None] = {}
        for i in range(points):
            share = i / (points - 1)
            position = low * (1.0 - share) + high * share
            number = math.exp(position) if self.scale is Scale.LOG else position
            number = ends[0] if i == 0 else ends[1] if i == points - 1 else min(max(number, ends[0]), ends[1])
            values[self.at(self._nearest(number)) if self._count is not None else self._text(Decimal(number))] = None
        return list(values)

    @property
    def _last(self) -> int:
        assert self._count is not None
        return self._count - 1

    def _nearest(self, number: float) -> int:
        assert self._count is not None
        if self.step is None:
            return 0
        offset = (Decimal(min(max(number, float(self.low)), float(self.high))) - self.low) / self.step
        return min(max(int(offset.to_integral_value()), 0), self._count - 1)

    def _text(self, value: Decimal) -> str:
        return str(int(value)) if self.type is ParameterType.INT else repr(float(value))

    def _same(self, a: str, b: str) -> bool:
        x, y = float(a), float(b)
        # exp(log(x)) may be off by a few units in the last place.
        return x == y if self._count is not None else math.isclose(x, y, rel_tol=1e-9, abs_tol=0.0)


class ListDimension(Dimension):
    """DISCRETE or CATEGORICAL: values are the texts of the list, verbatim, in equal shares of the cube.

    DISCRETE values lie in the cube by the size of their numbers, so that neighbours are near; `at` keeps the list's order.
    """

    def __init__(self, name: str, type_: ParameterType, values: Sequence[str]) -> None:
        super().__init__(name, type_)
        self.values = tuple(values)
        if type_ is ParameterType.DISCRETE:
            self._ordered = tuple(sorted(self.values, key=float))
            self._rank: dict[str | float, int] = {float(v): i for i, v in enumerate(self._ordered)}
        else:
            self._ordered = self.values
            self._rank = {v: i for i, v in enumerate(self._ordered)}

    @property
    def cardinality(self) -> int:
        return len(self.values)

    def from_unit(self, u: float) -> str:
        count = len(self._ordered)
        return self._ordered[min(max(int(u * count), 0), count - 1)]

    def to_unit(self, value: str) -> float:
        key = _number(self.name, value) if self.type is ParameterType.DISCRETE else value
        if key not in self._rank:
            raise InvalidArgumentError.of(self.name, value, "expected one of the parameter's list")
        return (self._rank[key] + 0.5) / len(self._ordered)

    def at(self, index: int) -> str:
        if not 0 <= index < len(self.values):
            raise IndexError(f"{self.name} has no value number {index}")
        return self.values[index]

    def spread(self, points: int) -> list[str]:
        """Values of a list have no range to spread over: the first `points` of them."""
        return list(self.values[: max(points, 1)])

    def _same(self, a: str, b: str) -> bool:
        return float(a) == float(b) if self.type is ParameterType.DISCRETE else a == b


class SearchSpace:
    """A checked search space: the dimensions in the order of the configuration."""

    def __init__(self, dimensions: Sequence[Dimension]) -> None:
        self.dimensions = tuple(dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)

    @classmethod
    def of(cls, configs: Sequence[ParameterConfig], path: str = "parameter_configs") -> "SearchSpace":
        """Checks the configuration; raises InvalidArgumentError with every violation found."""
        violations: list[FieldViolation] = []
        dimensions = []
        if not configs:
            violations.append(violation(f"{path}.configs", "", "expected at least one parameter"))
        if len(configs) > MAX_PARAMETERS:
            raise InvalidArgumentError.of(
                f"{path}.configs", f"{len(configs)} parameters", f"expected at most {MAX_PARAMETERS}"
            )
        seen: dict[str, int] = {}
        for i, config in enumerate(configs):
            at = f"{path}.configs[{i}]"
            violations += check_name(f"{at}.name", config.name)
            first = seen.setdefault(config.name, i)
            if first != i:
                violations.append(
                    violation(f"{at}.name", config.name, f"expected another name: {path}.configs[{first}] has this one")
                )
            try:
                dimensions.append(_dimension(config, at))
            except InvalidArgumentError as error:
                violations += error.violations
        if violations:
            raise InvalidArgumentError(violations)
        return cls(dimensions)

    @property
    def cardinality(self) -> int | None:
        """How many different points there are; None for a continuum."""
        product = 1
        for dimension in self.dimensions:
            if dimension.cardinality is None:
                return None
            product *= dimension.cardinality
        return product

    def from_unit(self, point: Sequence[float]) -> tuple[Parameter, ...]:
        """The parameters at a point of [0, 1]^d."""
        return tuple(d.parameter(d.from_unit(float(u))) for d, u in zip(self.dimensions, point, strict=True))

    def to_unit(self, parameters: Sequence[Parameter]) -> list[float]:
        """The point of a trial's parameters, found by name: shape (d,).

        Raises InvalidArgumentError when a parameter is missing or nothing of its kind.
        """
        values = {p.name: p.value for p in parameters}
        missing = [d.name for d in self.dimensions if d.name not in values]
        if missing:
            raise InvalidArgumentError.of("parameter_set", ", ".join(values), f"expected also {', '.join(missing)}")
        return [d.to_unit(values[d.name]) for d in self.dimensions]


def check_name(field: str, name: str) -> list[FieldViolation]:
    """A parameter's or metric's name stands before `=` on a command line or in a line of output."""
    if not name:
        return [violation(field, name, "expected a name")]
    if len(name) > MAX_NAME:
        return [violation(field, name, f"expected at most {MAX_NAME} characters, got {len(name)}")]
    if not name.isprintable() or any(c.isspace() or c == "=" for c in name):
        return [violation(field, name, "expected printable characters without spaces and '='")]
    return []


def _dimension(config: ParameterConfig, at: str) -> Dimension:
    if config.type is None:
        raise InvalidArgumentError.of(f"{at}.parameter_type", "", "expected double, int, discrete or categorical")
    if config.type in (ParameterType.DOUBLE, ParameterType.INT):
        return _numeric(config, config.type, f"{at}.feasible")
    return _listed(config, config.type, f"{at}.feasible")


def _numeric(config: ParameterConfig, type_: ParameterType, at: str) -> Dimension:
    feasible = config.feasible
    if feasible.list:
        raise InvalidArgumentError.of(f"{at}.list", ", ".join(feasible.list), f"expected none for {type_.value}")
    low = _bound(f"{at}.min", feasible.min, type_)
    high = _bound(f"{at}.max", feasible.max, type_)
    if low > high:
        raise InvalidArgumentError.of(f"{at}.min", feasible.min, f"expected at most max, which is {feasible.max}")
    if feasible.scale is Scale.LOG and low <= 0:
        raise InvalidArgumentError.of(f"{at}.min", feasible.min, "expected more than 0 on a log scale")
    step = None
    if feasible.step:
        step = _bound(f"{at}.step", feasible.step, type_)
        if step <= 0:
            raise InvalidArgumentError.of(f"{at}.step", feasible.step, "expected more than 0")
        if (high - low) / step > MAX_INT:
            raise InvalidArgumentError.of(f"{at}.step", feasible.step, "expected at most 2^53 steps from min to max")
    elif type_ is ParameterType.INT:
        step = Decimal(1)
    return NumericDimension(config.name, type_, low, high, step, feasible.scale)


def _listed(config: ParameterConfig, type_: ParameterType, at: str) -> Dimension:
    feasible = config.feasible
    for field, value in (("min", feasible.min), ("max", feasible.max), ("step", feasible.step)):
        if value:
            raise InvalidArgumentError.of(f"{at}.{field}", value, f"expected none for {type_.value}: it has a list")
    if feasible.scale is not Scale.LINEAR:
        raise InvalidArgumentError.of(f"{at}.scale", feasible.scale.value, f"expected none for {type_.value}")
    if not feasible.list:
        raise InvalidArgumentError.of(f"{at}.list", "", "expected at least one value")
    if len(feasible.list) > MAX_LIST:
        raise InvalidArgumentError.of(f"{at}.list", f"{len(feasible.list)} values", f"expected at most {MAX_LIST}")
    seen: set[str | float] = set()
    for i, value in enumerate(feasible.list):
        if len(value) > MAX_VALUE or not value.isprintable():
            raise InvalidArgumentError.of(
                f"{at}.list[{i}]", value, f"expected printable characters, at most {MAX_VALUE}"
            )
        key = float(_bound(f"{at}.list[{i}]", value, type_)) if type_ is ParameterType.DISCRETE else value
        if key in seen:
            raise InvalidArgumentError.of(f"{at}.list[{i}]", value, "expected each value once")
        seen.add(key)
    return ListDimension(config.name, type_, feasible.list)


def _bound(field: str, text: str, type_: ParameterType) -> Decimal:
    kind = "a whole number" if type_ is ParameterType.INT else "a finite number"
    if not text:
        raise InvalidArgumentError.of(field, text, f"expected {kind}")
    # Longer texts are no honest numbers, and Decimal's cost grows with their length.
    if len(text) > MAX_NAME:
        raise InvalidArgumentError.of(field, text, f"expected {kind} of at most {MAX_NAME} characters")
    try:
        number = float(text)
        value = Decimal(text.strip())
    except (ValueError, ArithmeticError):
        raise InvalidArgumentError.of(field, text, f"expected {kind}") from None
    if not math.isfinite(number):
        raise InvalidArgumentError.of(field, text, f"expected {kind}")
    if type_ is ParameterType.INT and (value != value.to_integral_value() or abs(value) > MAX_INT):
        raise InvalidArgumentError.of(field, text, "expected a whole number between -2^53 and 2^53")
    return value


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise InvalidArgumentError.of(name, value, "expected a number") from None
    if not math.isfinite(number):
        raise InvalidArgumentError.of(name, value, "expected a finite number")
    return number
