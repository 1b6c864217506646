"""The resource: the parameter of a study that says how much a trial may spend, as epochs or a share of the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import NumericDimension, Parameter, ParameterType, SearchSpace
from katib.domain.settings import Option, real
from katib.suggestion.base import SETTINGS_PATH, STUDY_PATH, Problem

ETA: Final = real(
    "Eta",
    3.0,
    "One in so many of a rung goes on to the next, with so many times the resource.",
    least=1.5,
    most=1000.0,
    default_text="3",
)
MOST: Final = real("R", None, "The resource of the last rung.", above=0.0, default_text="the resource's maximum")
LEAST: Final = real(
    "MinResource",
    None,
    "The unit of the resource, of which no trial gets less.",
    above=0.0,
    default_text="1; the resource's minimum where that is more, or the resource is a DOUBLE and R at most 1",
)
NAME: Final[Option[str]] = Option(
    "ResourceName",
    "The DOUBLE or INT parameter that is the resource. It is not searched: each rung has its value of it.",
    "the name of a DOUBLE or INT parameter",
    lambda text: text or None,
    "",
    "none: it must be given",
)
# R is at most so many times the least resource, which is more than any INT can have. Beyond, rungs would be counted by the
# thousand, and the trials of the first by numbers that no float holds.
_WIDEST: Final = 10**18
OPTIONS: Final[tuple[Option[object], ...]] = (NAME, MOST, ETA, LEAST)


@dataclass(frozen=True)
class Resource:
    """`rest` is the search space without it: the space of configurations. Numbers are exact: 243 is the fifth power of 3."""

    dimension: NumericDimension
    place: int
    rest: SearchSpace
    eta: Fraction
    most: Fraction
    least: Fraction

    @classmethod
    def of(cls, problem: Problem) -> "Resource":
        """Raises InvalidArgumentError, which names the setting, when the settings are not of this search space."""
        space, values = problem.space, problem.values
        name = values[NAME]
        numeric = {d.name: i for i, d in enumerate(space) if isinstance(d, NumericDimension)}
        if name not in numeric:
            known = f": {', '.join(numeric)}" if numeric else ", and the study has none"
            raise refusal(problem, NAME, f"expected the name of a DOUBLE or INT parameter for {NAME.name}{known}")
        if len(space) == 1:
            raise InvalidArgumentError.of(
                f"{STUDY_PATH}.parameter_configs.configs", name, "expected a parameter to search beside the resource"
            )
        place = numeric[name]
        dimension = space.dimensions[place]
        assert isinstance(dimension, NumericDimension)
        low, high = Fraction(dimension.low), Fraction(dimension.high)
        if high <= 0:
            raise refusal(problem, NAME, f"expected a parameter with a maximum above 0 for {NAME.name}")
        most = _exact(values[MOST], high)
        if not low <= most <= high:
            raise refusal(
                problem, MOST, f"expected a number from {_text(low)} to {_text(high)}, the range of {name}, for R"
            )
        share = dimension.type is ParameterType.DOUBLE and most <= 1
        least = _exact(values[LEAST], low if share else max(low, Fraction(1)))
        if not (least > 0 and low <= least <= most):
            raise refusal(
                problem,
                LEAST,
                f"expected a number above 0 from {_text(low)}, the minimum of {name}, to R for {LEAST.name}, which is the "
                "least that a trial gets",
            )
        if most > least * _WIDEST:
            raise refusal(
                problem,
                LEAST,
                f"expected at least {_text(most / _WIDEST)} for {LEAST.name}: R is to be at most 10^18 times it",
            )
        rest = SearchSpace([d for d in space if d.name != name])
        return cls(dimension, place, rest, _exact(values[ETA], Fraction(3)), most, least)

    @property
    def steps(self) -> int:
        """How often Eta goes into R, of the least resource: s_max of Li et al. In whole numbers, not by logarithms, by which
        243 is less than the fifth power of 3."""
        count, size = 0, self.least * self.eta
        while size <= self.most:
            count, size = count + 1, size * self.eta
        return count

    def value(self, amount: Fraction) -> str:
        """The value of the parameter nearest to an amount."""
        text = repr(float(amount))
        if self.dimension.cardinality is None:
            return text
        return self.dimension.from_unit(self.dimension.to_unit(text))

    def parameters(self, configuration: Sequence[Parameter], value: str) -> tuple[Parameter, ...]:
        """A configuration with its resource, in the order of the study."""
        return (
            *configuration[: self.place],
            self.dimension.parameter(value),
            *configuration[self.place :],
        )

    def configuration(self, parameters: Sequence[Parameter]) -> tuple[Parameter, ...] | None:
        """What is not the resource of a trial's parameters, in the order of the study; None: they are not of this study."""
        values = {p.name: p.value for p in parameters}
        if any(d.name not in values or not d.contains(values[d.name]) for d in self.rest):
            return None
        return tuple(d.parameter(values[d.name]) for d in self.rest)


def _exact(number: float | None, default: Fraction) -> Fraction:
    """The shortest decimal of the same double: 0.1 is a tenth."""
    return default if number is None else Fraction(repr(number))


def _text(number: Fraction) -> str:
    return str(number.numerator) if number.denominator == 1 else repr(float(number))


def refusal(problem: Problem, option: Option[object], expected: str) -> InvalidArgumentError:
    """At the setting where it is given, else at the list of settings."""
    given = [i for i, s in enumerate(problem.spec.settings) if s.name == option.name]
    if not given:
        return InvalidArgumentError.of(SETTINGS_PATH, "", expected)
    return InvalidArgumentError.of(
        f"{SETTINGS_PATH}[{given[-1]}].value", problem.spec.settings[given[-1]].value, expected
    )
