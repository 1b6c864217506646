"""What a Pod's status means for its run, in words for the trial's owner: a pure function of its JSON and the time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from katib.worker.base import RunPhase
from katib.worker.kubernetes.policy import Waits


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """How a run stands. `hopeless`: it waits and has passed the deadline of what it waits for, or can never run, or does not
    go away: the driver ends it, by force where it is STOPPING already, and reports it FAILED with this reason and message.
    `look_again`: when time alone may change the diagnosis."""

    phase: RunPhase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    hopeless: bool = False
    look_again: datetime | None = None


def diagnose_pod(pod: Mapping[str, Any], now: datetime, waits: Waits) -> Diagnosis:
    """`now` is aware. Never raises, whatever an API server sends."""
    raise NotImplementedError
