"""What a client asks when it asks for trials."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from katib.domain.asked import algorithm_of
from katib.domain.errors import InvalidArgumentError
from katib.domain.lease import DEFAULT_LEASE, lease_of
from katib.domain.names import check_service_name, is_service_name
from katib.domain.study import StudySpec
from katib.manager.service.checks import MAX_CLIENT_ID, label_of

MAX_SUGGESTIONS: Final = 1000


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for trials: see `ClientUseCases.suggest_trials`."""

    count: int = 1
    client_id: str = ""
    algorithm: str = ""
    deadline: float = math.inf
    lease: timedelta | None = None


@dataclass(frozen=True, slots=True)
class CheckedAsk:
    """`lease` as the client has given it, `period` as it counts."""

    count: int
    client_id: str
    algorithm: str
    deadline: float
    lease: timedelta | None
    period: timedelta | None


def checked(ask: Ask, algorithm: str, at: str = "") -> CheckedAsk:
    """The question with `algorithm`. Raises InvalidArgumentError. `at`: what comes before the names of its fields."""
    label_of(f"{at}client_id", ask.client_id, MAX_CLIENT_ID)
    if ask.lease is not None and not ask.client_id:
        raise InvalidArgumentError.of(
            f"{at}client_id", "", "expected a name: a trial is leased to a client that has one"
        )
    period = None
    if ask.client_id:
        period = lease_of(f"{at}lease", DEFAULT_LEASE if ask.lease is None else ask.lease)
    if not 0 <= ask.count <= MAX_SUGGESTIONS:
        raise InvalidArgumentError.of(f"{at}count", ask.count, f"expected 1 to {MAX_SUGGESTIONS} (0 is 1)")
    name = check_service_name(f"{at}suggest_algorithm", algorithm)
    return CheckedAsk(ask.count or 1, ask.client_id, name, ask.deadline, ask.lease, period)


def default_algorithm(spec: StudySpec) -> str:
    """The one that the study names, if that can be one, as its tags are anybody's; or else random."""
    name = algorithm_of(spec)
    return name if is_service_name(name) else "random"
