"""For how long a trial is its client's: see `Trial.lease`."""

import dataclasses
from datetime import datetime, timedelta
from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.trial import Trial, TrialReason, TrialState

# Of a client that names itself and does not say for how long: it may know nothing of leases and compute for long in silence.
DEFAULT_LEASE: Final = timedelta(hours=1)
# Less is less than what a busy machine and a network may take to carry a sign of life.
MIN_LEASE: Final = timedelta(seconds=1)
MAX_LEASE: Final = timedelta(days=365)


def lease_of(field: str, period: timedelta) -> timedelta:
    """Raises InvalidArgumentError for one that is too short or too long."""
    if not MIN_LEASE <= period <= MAX_LEASE:
        raise InvalidArgumentError.of(
            field, f"{period.total_seconds():g}s", f"expected {show_period(MIN_LEASE)} to {MAX_LEASE.days} days"
        )
    return period


def with_lease_shown(trial: Trial, now: datetime) -> Trial:
    """As people are to see it: one whose lease is over says so, although nothing is stored until a client asks."""
    if (
        trial.state is not TrialState.RUNNING
        or trial.stop_reason
        or trial.lease_until is None
        or trial.lease_until > now
    ):
        return trial
    message = (
        f"its client {trial.client_id} has given no sign of itself for {show_period(trial.lease)}; "
        "the next client that asks for trials gets it"
    )
    return dataclasses.replace(trial, reason=TrialReason.LEASE_EXPIRED, message=message)


def show_period(period: timedelta | None) -> str:
    """`90 s`, `1.5 s`."""
    return f"{(period or timedelta()).total_seconds():.10g} s"
