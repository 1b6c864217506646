"""What a suggestion service sent, checked before it becomes a trial: services are not ours to trust."""

import re
from collections.abc import Sequence
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.parameters import ParameterType
from katib.domain.search_space import MAX_VALUE, Parameter, SearchSpace, check_value
from katib.domain.study import StudyReason

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_SHOWN_REASON: Final = 300
_SHOWN_VALUE: Final = 40
# Of a sentence for people.
_MAX_NOTE: Final = 1000
# What a study says whose clients ask, before what its algorithm says of itself.
_CLIENTS_ASK: Final = "clients ask for its trials (SuggestTrials)"


def checked_parameters(space: SearchSpace, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The parameters in the order of the study, with its types. Values are taken as they are.

    Raises InvalidArgumentError when they are not exactly the study's, or when a value is nothing of its parameter's kind, or
    too long to be kept.
    """
    values = {p.name: p.value for p in parameters}
    names = [d.name for d in space]
    if len(parameters) != len(names) or set(values) != set(names):
        raise InvalidArgumentError.of(
            "parameter_set", ", ".join(p.name for p in parameters), f"expected exactly {', '.join(names)}"
        )
    for dimension in space:
        value = values[dimension.name]
        # A number may be any text that reads as one; and what one answer of a service can hold would fill those of ours.
        if len(value) > MAX_VALUE:
            shown = f"{value[:_SHOWN_VALUE]}… ({len(value)} characters)"
            raise InvalidArgumentError.of(f"parameter_set.{dimension.name}", shown, f"expected at most {MAX_VALUE}")
        if dimension.type is not ParameterType.CATEGORICAL:
            check_value(f"parameter_set.{dimension.name}", value, dimension.type)
        dimension.to_unit(value)
    return tuple(d.parameter(values[d.name]) for d in space)


def noted(note: str) -> str:
    """What a service says of its choices, for a study to show."""
    return note[:_MAX_NOTE]


def told_of(service: str, message: str) -> str:
    """A sentence about a service, which names it once."""
    return message if message.startswith(f"{service} ") else f"{service}: {message}"


def clients_ask(note: str = "") -> str:
    """The message of a study that clients drive while it runs, with what the algorithm said that they asked last."""
    return f"{_CLIENTS_ASK}; {note}" if note else _CLIENTS_ASK


def noted_for_clients(message: str) -> str:
    """The note in a message of `clients_ask`; none in another one."""
    begin = f"{_CLIENTS_ASK}; "
    return message.removeprefix(begin) if message.startswith(begin) else ""


def nothing_more(algorithm: str, reason: str) -> tuple[str, str]:
    """Reason and message for a service that has nothing more to try. Its own word for it is taken if it is one."""
    message = f"{algorithm} has nothing more to try"
    if not reason or _WORD.fullmatch(reason):
        return reason or StudyReason.EXHAUSTED, message
    return StudyReason.EXHAUSTED, f"{message}: {reason[:_SHOWN_REASON]}"
