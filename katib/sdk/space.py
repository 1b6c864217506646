"""What may be tried, as a program in Python writes it; and a trial's values as Python's own numbers and texts."""

import operator
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from katib.domain.parameters import FeasibleSpace, Parameter, ParameterConfig, ParameterType, Scale

Value: TypeAlias = float | int | str


def _text(value: float) -> str:
    """With all its digits; a whole number, numpy's too, without a point."""
    return repr(operator.index(value) if hasattr(value, "__index__") else float(value))


class Range:
    """One of the four below: what a parameter may be."""

    def __init__(self, type_: ParameterType, feasible: FeasibleSpace) -> None:
        self.type: Final = type_
        self.feasible: Final = feasible

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.feasible})"


class Double(Range):
    """A number from `min` to `max`; with `step` only `min`, `min + step` and on. `log`: as many tries between 0.001 and 0.01 as
    between 0.1 and 1."""

    def __init__(self, min: float, max: float, *, step: float | None = None, log: bool = False) -> None:  # noqa: A002
        super().__init__(ParameterType.DOUBLE, _interval(float(min), float(max), step, log))


class Int(Range):
    """A whole number from `min` to `max`, both included; `step` and `log` as for Double."""

    def __init__(self, min: int, max: int, *, step: int | None = None, log: bool = False) -> None:  # noqa: A002
        super().__init__(ParameterType.INT, _interval(min, max, step, log))


class Discrete(Range):
    """One of these numbers."""

    def __init__(self, *values: float) -> None:
        super().__init__(ParameterType.DISCRETE, FeasibleSpace(list=tuple(_text(value) for value in values)))


class Categorical(Range):
    """One of these texts."""

    def __init__(self, *values: str) -> None:
        value: object
        for value in values:
            if isinstance(value, Iterable) and not isinstance(value, str):
                raise TypeError(f"expected each text by itself, katib.Categorical('a', 'b'), not {value!r}")
        super().__init__(ParameterType.CATEGORICAL, FeasibleSpace(list=tuple(map(str, values))))


def _interval(low: float, high: float, step: float | None, log: bool) -> FeasibleSpace:
    return FeasibleSpace(
        _text(low),
        _text(high),
        step="" if step is None else _text(step),
        scale=Scale.LOG if log else Scale.LINEAR,
    )


def configs_of(parameters: Mapping[str, Range]) -> tuple[ParameterConfig, ...]:
    """Raises TypeError for what is no range; whether the ranges make sense the manager says."""
    for name, range_ in parameters.items():
        if not isinstance(range_, Range):
            raise TypeError(
                f"parameter {name!r}: expected katib.Double(0.1, 1.0), katib.Int(1, 4), katib.Discrete(16, 32) or "
                f"katib.Categorical('a', 'b'), not {range_!r}"
            )
    return tuple(ParameterConfig(name, range_.type, range_.feasible) for name, range_ in parameters.items())


def typed_value(parameter: Parameter) -> Value:
    """Numbers as numbers: a DISCRETE one is whole where it is written so."""
    text = parameter.value
    if parameter.type is ParameterType.CATEGORICAL:
        return text
    if parameter.type is ParameterType.INT:
        return int(text)
    if parameter.type is ParameterType.DISCRETE and text.lstrip("+-").isdecimal():
        return int(text)
    return float(text)
