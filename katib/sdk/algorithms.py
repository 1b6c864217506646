"""Whether there is the algorithm, or the rule, that a program names: asked when it is named, not by a loop that waits."""

import logging
from collections.abc import Callable
from typing import Final

from katib.api.client import ManagerClient
from katib.domain.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    KatibError,
    UnavailableError,
)
from katib.domain.nearest import nearest
from katib.domain.study import StudySpec
from katib.domain.views import ServiceKind

_log: Final = logging.getLogger("katib")

# Each of the two calls; who names an algorithm looks at the screen.
_CALL_S: Final = 3.0
# How the manager's sentence begins that no service answers as a study's rule.
_RULE_FIELD: Final = "study_config.early_stopping_algorithm: "


def check_algorithm(client: ManagerClient, algorithm: str, spec: StudySpec, known_here: Callable[[], bool]) -> None:
    """Raises InvalidArgumentError for settings that it does not take, and for a name that nobody knows: no service answers, the
    manager lists none, and `known_here` says no. One that is only away may come later: then the first trial waits for it."""
    try:
        client.within(_CALL_S).check_settings(algorithm, spec)
        return
    except InvalidArgumentError:
        raise
    except UnavailableError as error:
        away: KatibError = error
    except KatibError as error:
        if spec.settings and not isinstance(error, (DeadlineExceededError, FailedPreconditionError)):
            raise
        _log.info("the algorithm is checked with the first trial: %s", error)
        return
    unknown = _unknown(client, "algorithm", algorithm, ServiceKind.SUGGESTION)
    if unknown is not None and not known_here():
        raise unknown
    _log.info("the algorithm is checked with the first trial: %s", away)


def without_rule(client: ManagerClient, spec: StudySpec, error: FailedPreconditionError) -> KatibError:
    """What a program is told that a study was refused for, where it may be that nobody answers as its early-stopping rule."""
    if not error.message.startswith(_RULE_FIELD):
        return error
    unknown = _unknown(client, "early_stopping", spec.rule, ServiceKind.EARLY_STOPPING)
    return unknown or FailedPreconditionError(f"early_stopping: {error.message.removeprefix(_RULE_FIELD)}")


def _unknown(client: ManagerClient, argument: str, name: str, kind: ServiceKind) -> InvalidArgumentError | None:
    """Of what nobody answers as: None where the manager lists it, or says nothing."""
    try:
        known = [service.name for service in client.within(_CALL_S).list_algorithms() if service.kind is kind]
    except KatibError:
        return None
    if name in known:
        return None
    near = nearest(name, known)
    hint = f"did you mean {near}? " if near else ""
    return InvalidArgumentError.of(
        argument,
        name,
        f"{hint}no service answers by this name, and the manager knows {', '.join(known)}; one of your own has to run before "
        "it is named",
    )
