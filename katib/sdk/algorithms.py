"""Whether there is the algorithm that a program names, asked when it is named and not by a loop that waits for its trials."""

import logging
from collections.abc import Callable, Collection
from typing import Final

from katib.api.client import ManagerClient
from katib.domain.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    KatibError,
    UnavailableError,
)
from katib.domain.study import StudySpec
from katib.domain.views import ServiceKind

_log: Final = logging.getLogger("katib")

# Each of the two calls; who names an algorithm looks at the screen.
_CALL_S: Final = 3.0


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
    try:
        known = [s.name for s in client.within(_CALL_S).list_algorithms() if s.kind is ServiceKind.SUGGESTION]
        unknown = algorithm not in known and not known_here()
    except KatibError:
        unknown = False
    if unknown:
        near = nearest(algorithm, known)
        hint = f"did you mean {near}? " if near else ""
        raise InvalidArgumentError.of(
            "algorithm",
            algorithm,
            f"{hint}no service answers by this name, and the manager knows {', '.join(known)}; one of your own has to run "
            "before it is named",
        )
    _log.info("the algorithm is checked with the first trial: %s", away)


def nearest(name: str, known: Collection[str]) -> str:
    """The known one that is meant, as `bayesianoptimization` by `bayes` and `cmaes` by `cma-es`; empty where none is."""
    import difflib  # only where something is wrong

    word = name.replace("-", "")
    plain = {k.replace("-", ""): k for k in sorted(known)}
    for other, original in plain.items():
        if other.startswith(word) or word.startswith(other):
            return original
    return next((plain[found] for found in difflib.get_close_matches(word, plain, n=1)), "")
