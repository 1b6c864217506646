"""The words of a search space: a parameter's type and scale, what a user allows for it, and a value that is tried."""

from dataclasses import dataclass
from enum import Enum


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
