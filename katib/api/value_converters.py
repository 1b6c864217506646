"""Between the wire's messages and the domain's types: what studies and trials both have."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from katib.api import api_pb2 as pb
from katib.domain.checks import MAX_NAME
from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import format_value
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.trial import Tag

PARAMETER_TYPES: Final = {
    pb.DOUBLE: ParameterType.DOUBLE,
    pb.INT: ParameterType.INT,
    pb.DISCRETE: ParameterType.DISCRETE,
    pb.CATEGORICAL: ParameterType.CATEGORICAL,
}
PARAMETER_TYPE_OF: Final = {v: k for k, v in PARAMETER_TYPES.items()}

# Names that are known, those of the last messages: thousands of trials share them. Python 3.12 would never forget one that is
# interned, and whoever sends messages chooses the names.
_NAMES: Final = 10_000
_known: Final = lru_cache(_NAMES)(str)


def parameters_to_proto(parameters: Sequence[Parameter]) -> list[pb.Parameter]:
    return [pb.Parameter(name=p.name, parameter_type=PARAMETER_TYPE_OF[p.type], value=p.value) for p in parameters]


def parameters_from_proto(messages: Sequence[pb.Parameter], path: str) -> tuple[Parameter, ...]:
    parameters = []
    for i, message in enumerate(messages):
        type_ = PARAMETER_TYPES.get(message.parameter_type)
        if type_ is None:
            raise InvalidArgumentError.of(
                f"{path}[{i}].parameter_type", message.parameter_type, "expected one of ParameterType"
            )
        parameters.append(Parameter(_shared(message.name), type_, message.value))
    return tuple(parameters)


def tags_to_proto(tags: Sequence[Tag]) -> list[pb.Tag]:
    return [pb.Tag(name=t.name, value=t.value) for t in tags]


def tags_from_proto(messages: Iterable[pb.Tag]) -> tuple[Tag, ...]:
    return tuple(Tag(_shared(m.name), m.value) for m in messages)


def _shared(name: str) -> str:
    return _known(name) if len(name) <= MAX_NAME else name


def objective_to_proto(value: float | None) -> str:
    return "" if value is None else format_value(value)
