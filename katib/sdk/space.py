"""What may be tried, as a program in Python writes it; and a trial's values as Python's own numbers and texts."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from katib.domain.errors import InvalidArgumentError, violation
from katib.domain.parameters import FeasibleSpace, Parameter, ParameterConfig, ParameterType, Scale
from katib.domain.search_space import SearchSpace

Value: TypeAlias = float | int | str

_EXPECTED: Final = "katib.Double(0.1, 1.0), katib.Int(1, 4), katib.Discrete(16, 32) or katib.Categorical('a', 'b')"
_SHOWN: Final = 5
# Where the domain's checks find the one parameter that they are given.
_CHECKED: Final = "range.configs[0]"


class Range:
    """One of the four below: what a parameter may be. Raises InvalidArgumentError for what is none."""

    def __init__(self, type_: ParameterType, feasible: FeasibleSpace) -> None:
        self.type: Final = type_
        self.feasible: Final = feasible
        try:
            SearchSpace.of([ParameterConfig("x", type_, feasible)], "range")
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                violation(range_field(type(self).__name__, v.field.removeprefix(_CHECKED)), v.value, v.expected)
                for v in error.violations
            ) from None

    def __repr__(self) -> str:
        feasible = self.feasible
        if feasible.list:
            words = [repr(v) if self.type is ParameterType.CATEGORICAL else v for v in feasible.list]
        else:
            step = f"step={feasible.step}" if feasible.step else ""
            log = "log=True" if feasible.scale is Scale.LOG else ""
            words = [word for word in (feasible.min, feasible.max, step, log) if word]
        return f"{type(self).__name__}({', '.join(words)})"


class Double(Range):
    """A number from `min` to `max`; with `step` only `min`, `min + step` and on. `log`: as many tries between 0.001 and 0.01 as
    between 0.1 and 1."""

    def __init__(self, min: float, max: float, *, step: float | None = None, log: bool = False) -> None:  # noqa: A002
        low, high = (_text(f"Double.{name}", value, whole=False) for name, value in (("min", min), ("max", max)))
        super().__init__(ParameterType.DOUBLE, _interval(low, high, "Double.step", step, log))


class Int(Range):
    """A whole number from `min` to `max`, both included; `step` and `log` as for Double."""

    def __init__(self, min: int, max: int, *, step: int | None = None, log: bool = False) -> None:  # noqa: A002
        low, high = _text("Int.min", min), _text("Int.max", max)
        super().__init__(ParameterType.INT, _interval(low, high, "Int.step", step, log))


class Discrete(Range):
    """One of these numbers."""

    def __init__(self, *values: float) -> None:
        texts = tuple(_text(f"Discrete.values[{i}]", value) for i, value in enumerate(values))
        super().__init__(ParameterType.DISCRETE, FeasibleSpace(list=texts))


class Categorical(Range):
    """One of these texts."""

    def __init__(self, *values: str) -> None:
        for i, value in enumerate(values):
            if not isinstance(value, str):
                # As a text False would be true, and a number be none.
                raise InvalidArgumentError.of(f"Categorical.values[{i}]", value, _as_texts(value, values))
        super().__init__(ParameterType.CATEGORICAL, FeasibleSpace(list=tuple(map(str, values))))


def _as_texts(value: object, values: Sequence[object]) -> str:
    """How to write what is no text."""
    if isinstance(value, Iterable):
        return "expected each text by itself, as in katib.Categorical('a', 'b')"
    texts = [repr((str(v).lower() if isinstance(v, bool) or v is None else str(v))[:40]) for v in values[:_SHOWN]]
    more = ", ..." if len(values) > _SHOWN else ""
    written = f"katib.Categorical({', '.join(texts)}{more})"
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return f"expected a text: write katib.Discrete({', '.join(map(repr, values[:_SHOWN]))}{more}) or {written}"
    return f"expected a text: write {written}"


def _text(field: str, value: float, *, whole: bool = True) -> str:
    """With all its digits; with `whole` a whole number, numpy's too, without a point."""
    try:
        return repr(operator.index(value) if whole and hasattr(value, "__index__") else float(value))
    except (TypeError, ValueError, OverflowError):
        several = isinstance(value, Iterable) and not isinstance(value, str)
        by_itself = ", each by itself as in katib.Discrete(16, 32)" if several else ""
        raise InvalidArgumentError.of(field, value, f"expected a number{by_itself}") from None


def _interval(low: str, high: str, step_field: str, step: float | None, log: bool) -> FeasibleSpace:
    return FeasibleSpace(
        low,
        high,
        step="" if step is None else _text(step_field, step),
        scale=Scale.LOG if log else Scale.LINEAR,
    )


def range_field(start: str, rest: str) -> str:
    """The domain's path below a parameter, such as `.feasible.list[0]`, as the arguments of a range are called."""
    for theirs, ours in ((".feasible.list", ".values"), (".feasible.scale", ".log"), (".feasible", "")):
        if rest.startswith(theirs):
            return f"{start}{ours}{rest.removeprefix(theirs)}"
    return start


def configs_of(parameters: Mapping[str, Range]) -> tuple[ParameterConfig, ...]:
    """Raises InvalidArgumentError for what is no mapping from names to ranges."""
    if not isinstance(parameters, Mapping):
        raise InvalidArgumentError.of(
            "parameters", parameters, "expected a mapping from names to ranges, such as {'lr': katib.Double(0.1, 1.0)}"
        )
    for name, range_ in parameters.items():
        if not isinstance(name, str):
            raise InvalidArgumentError.of("parameters", name, "expected a text for each parameter's name")
        if not isinstance(range_, Range):
            raise InvalidArgumentError.of(f"parameters[{name[:80]!r}]", range_, f"expected {_EXPECTED}")
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
