"""The search space: what may be tried, and the one transform between parameter values and the unit cube.

Values travel as strings with full precision. Algorithms never see them: they work with points in [0, 1]^d, one
coordinate per parameter in the order of the study's configuration, through `SearchSpace.to_unit` and `from_unit`. The
transform carries type, scale and step, so that an algorithm that is uniform in the cube is uniform on the parameter's own
scale, and every point of the cube becomes a value that the study allows.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Final

from katib.domain.checks import MAX_NAME, check_name
from katib.domain.dimensions import (
    MAX_LOG_STEPS,
    MAX_STEPS,
    ContinuousDimension,
    Dimension,
    ListDimension,
    NumericDimension,
    SteppedDimension,
)
from katib.domain.errors import FieldViolation, InvalidArgumentError, violation
from katib.domain.parameters import FeasibleSpace, Parameter, ParameterConfig, ParameterType, Scale

__all__ = [
    "ContinuousDimension",
    "Dimension",
    "FeasibleSpace",
    "ListDimension",
    "NumericDimension",
    "Parameter",
    "ParameterConfig",
    "ParameterType",
    "Scale",
    "SearchSpace",
    "SteppedDimension",
    "check_name",
]

MAX_PARAMETERS: Final = 200
MAX_LIST: Final = 1000
MAX_VALUE: Final = 1000
# Beyond 2^53 neighbouring whole numbers are one and the same double.
MAX_INT: Final = 2**53
# A range with fewer doubles than this is no continuum: a thousand random ones of them would not all be different.
_NUMBERS: Final = 2**24

# So many spaces are remembered for speed alone: each question to a service brings one, and to check 60 lists of a thousand
# numbers takes a tenth of a second. One may take 40 MB.
_REMEMBERED: Final = 4

# What every language reads as a number; `float` alone would also take `1_000`, ` 1` and other scripts' digits.
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


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
        with suppress(InvalidArgumentError):
            return _remembered(tuple(configs))
        return _checked(configs, path)

    @property
    def cardinality(self) -> int | None:
        """How many different points there are; None for a continuum."""
        product = 1
        for dimension in self.dimensions:
            if dimension.cardinality is None:
                return None
            product *= dimension.cardinality
        return product

    def at(self, index: int) -> tuple[Parameter, ...]:
        """The point number `index` from 0 to cardinality - 1; the last parameter varies fastest.

        Raises IndexError beyond, and for a continuum.
        """
        values = []
        for dimension in reversed(self.dimensions):
            index, digit = divmod(index, dimension.cardinality or 1)
            values.append(dimension.parameter(dimension.at(digit)))
        if index != 0:
            raise IndexError("the search space has fewer points")
        return tuple(reversed(values))

    def index_of(self, parameters: Sequence[Parameter]) -> int:
        """The number that `at` has for a trial's parameters, found by name.

        Raises InvalidArgumentError when a parameter is missing or its value is none of its dimension's.
        """
        index = 0
        for dimension, value in zip(self.dimensions, self._values(parameters), strict=True):
            index = index * (dimension.cardinality or 1) + dimension.index_of(value)
        return index

    def from_unit(self, point: Sequence[float]) -> tuple[Parameter, ...]:
        """The parameters at a point of [0, 1]^d."""
        return tuple(d.parameter(d.from_unit(float(u))) for d, u in zip(self.dimensions, point, strict=True))

    def to_unit(self, parameters: Sequence[Parameter]) -> list[float]:
        """The point of a trial's parameters, found by name: shape (d,).

        Raises InvalidArgumentError when a parameter is missing or nothing of its kind.
        """
        return [d.to_unit(v) for d, v in zip(self.dimensions, self._values(parameters), strict=True)]

    def _values(self, parameters: Sequence[Parameter]) -> list[str]:
        """In the order of the dimensions."""
        values = {p.name: p.value for p in parameters}
        missing = [d.name for d in self.dimensions if d.name not in values]
        if missing:
            raise InvalidArgumentError.of("parameter_set", ", ".join(values), f"expected also {', '.join(missing)}")
        return [values[d.name] for d in self.dimensions]


@lru_cache(maxsize=_REMEMBERED)
def _remembered(configs: tuple[ParameterConfig, ...]) -> SearchSpace:
    return _checked(configs, "")


def _checked(configs: Sequence[ParameterConfig], path: str) -> SearchSpace:
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
                violation(
                    f"{at}.name", config.name, f"expected another name: parameter number {first + 1} has this one"
                )
            )
        try:
            dimensions.append(_dimension(config, at))
        except InvalidArgumentError as error:
            violations += error.violations
    if violations:
        raise InvalidArgumentError(violations)
    return SearchSpace(dimensions)


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
    if feasible.step:
        step = _bound(f"{at}.step", feasible.step, type_)
        if step <= 0:
            raise InvalidArgumentError.of(f"{at}.step", feasible.step, "expected more than 0")
    elif type_ is ParameterType.DOUBLE and low < high:
        return ContinuousDimension(config.name, low, high, feasible.scale)
    else:
        step = Decimal(1)
    if low < high:
        _check_step(feasible, type_, at, low, high, step)
    return SteppedDimension(config.name, type_, low, high, step, feasible.scale)


def check_widths(space: SearchSpace, configs: Sequence[ParameterConfig], path: str) -> None:
    """Refuses a continuum that is none: between its ends are too few numbers, or, on a log scale, logarithms. For new studies
    alone: those that there are go on as they can."""
    for i, (dimension, config) in enumerate(zip(space, configs, strict=True)):
        if isinstance(dimension, ContinuousDimension):
            _check_width(config.feasible, f"{path}.configs[{i}].feasible", float(dimension.low), float(dimension.high))


def _check_width(feasible: FeasibleSpace, at: str, low: float, high: float) -> None:
    least = _NUMBERS * math.ulp(max(abs(low), abs(high)))
    narrow = high - low < least
    if feasible.scale is Scale.LOG:
        logs = math.log(low), math.log(high)
        narrow = narrow or logs[1] - logs[0] < _NUMBERS * math.ulp(max(map(abs, logs)))
    if narrow:
        raise InvalidArgumentError.of(
            f"{at}.max",
            feasible.max,
            f"expected more: too few numbers lie between it and {feasible.min}; an int, a step or a list tells them apart",
        )


def _check_step(
    feasible: FeasibleSpace, type_: ParameterType, at: str, low: Decimal, high: Decimal, step: Decimal
) -> None:
    """Refuses steps so fine that double precision cannot tell the values, or their places in the cube, apart."""
    field, value = ("step", feasible.step) if feasible.step else ("max", feasible.max)
    if (high - low) / step >= MAX_STEPS:
        raise InvalidArgumentError.of(f"{at}.{field}", value, "expected at most 2^50 steps from min to max")
    if feasible.scale is Scale.LOG and high / step > MAX_LOG_STEPS:
        raise InvalidArgumentError.of(
            f"{at}.{field}", value, "expected a maximum of at most 2^40 times the step on a log scale"
        )
    apart = 2 * math.ulp(max(abs(float(low)), abs(float(high))))
    if type_ is ParameterType.DOUBLE and step < apart:
        raise InvalidArgumentError.of(
            f"{at}.step", value, f"expected at least {apart!r}: finer steps are lost in numbers of this size"
        )


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


def check_value(field: str, text: str, type_: ParameterType) -> None:
    """Raises InvalidArgumentError for a value of a numeric type that not every program would read as such."""
    if not _NUMBER.fullmatch(text):
        raise InvalidArgumentError.of(field, text, "expected a number such as 0.5 or 1e-3")
    if type_ is ParameterType.INT and not (float(text).is_integer() and abs(float(text)) < MAX_INT):
        raise InvalidArgumentError.of(field, text, "expected a whole number more than -2^53 and less than 2^53")


def _bound(field: str, text: str, type_: ParameterType) -> Decimal:
    kind = "a whole number" if type_ is ParameterType.INT else "a finite number"
    if not text:
        raise InvalidArgumentError.of(field, text, f"expected {kind}")
    # Longer texts are no honest numbers, and Decimal's cost grows with their length.
    if len(text) > MAX_NAME:
        raise InvalidArgumentError.of(field, text, f"expected {kind} of at most {MAX_NAME} characters")
    if not _NUMBER.fullmatch(text):
        raise InvalidArgumentError.of(field, text, f"expected {kind}")
    number = float(text)
    if not math.isfinite(number):
        raise InvalidArgumentError.of(field, text, f"expected {kind}")
    # The shortest text of the same double: 0.1 stays 0.1, and no exponent or length is beyond what decimals compute with.
    value = Decimal(repr(number))
    if type_ is ParameterType.INT and (value != value.to_integral_value() or abs(value) >= MAX_INT):
        raise InvalidArgumentError.of(field, text, "expected a whole number more than -2^53 and less than 2^53")
    return value
