"""What a suggestion service sent, checked before it becomes a trial: services are not ours to trust."""

from collections.abc import Sequence

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import Parameter, SearchSpace


def checked_parameters(space: SearchSpace, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The parameters in the order of the study, with its types. Values are taken as they are.

    Raises InvalidArgumentError when they are not exactly the study's, or when a value is nothing of its parameter's kind.
    """
    values = {p.name: p.value for p in parameters}
    names = [d.name for d in space]
    if len(parameters) != len(names) or set(values) != set(names):
        raise InvalidArgumentError.of(
            "parameter_set", ", ".join(p.name for p in parameters), f"expected exactly {', '.join(names)}"
        )
    for dimension in space:
        dimension.to_unit(values[dimension.name])
    return tuple(d.parameter(values[d.name]) for d in space)
