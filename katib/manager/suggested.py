"""What a suggestion service sent, checked before it becomes a trial: services are not ours to trust."""

import re
from collections.abc import Sequence
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import Parameter, SearchSpace
from katib.domain.study import StudyReason

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_SHOWN_REASON: Final = 300


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


def nothing_more(algorithm: str, reason: str) -> tuple[str, str]:
    """Reason and message for a service that has nothing more to try. Its own word for it is taken if it is one."""
    message = f"{algorithm} has nothing more to try"
    if not reason or _WORD.fullmatch(reason):
        return reason or StudyReason.EXHAUSTED, message
    return StudyReason.EXHAUSTED, f"{message}: {reason[:_SHOWN_REASON]}"
