"""A trial: one set of parameters, tried by one or more attempts; and the moves that its state may make."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from katib.domain.search_space import Parameter


class TrialState(Enum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    KILLED = "KILLED"
    ERROR = "ERROR"

    @property
    def finished(self) -> bool:
        return self in FINISHED


UNFINISHED: Final = frozenset({TrialState.PENDING, TrialState.RUNNING})
FINISHED: Final = frozenset({TrialState.COMPLETED, TrialState.KILLED, TrialState.ERROR})

# Every move there is. RUNNING to PENDING begins the next attempt; a finished trial never changes.
MOVES: Final[frozenset[tuple[TrialState, TrialState]]] = frozenset(
    {
        (TrialState.PENDING, TrialState.RUNNING),
        (TrialState.RUNNING, TrialState.PENDING),
        (TrialState.RUNNING, TrialState.COMPLETED),
        (TrialState.PENDING, TrialState.KILLED),
        (TrialState.RUNNING, TrialState.KILLED),
        (TrialState.PENDING, TrialState.ERROR),
        (TrialState.RUNNING, TrialState.ERROR),
    }
)


class TrialReason:
    """The stable words in `Trial.reason`; programs may compare with them."""

    # unfinished
    WAITING_FOR_SLOT: Final = "WaitingForSlot"
    WAITING_FOR_RETRY: Final = "WaitingForRetry"
    WORKER_UNAVAILABLE: Final = "WorkerUnavailable"
    STOPPING: Final = "Stopping"
    LEASE_EXPIRED: Final = "LeaseExpired"
    # finished
    STOPPED_BY_USER: Final = "StoppedByUser"
    STUDY_ENDED: Final = "StudyEnded"
    EARLY_STOPPED: Final = "EarlyStopped"
    ABANDONED: Final = "Abandoned"
    FAILED_AT_CLIENT: Final = "FailedAtClient"
    EXIT_CODE: Final = "ExitCode"
    SIGNAL: Final = "Signal"
    START_FAILED: Final = "StartFailed"
    END_UNKNOWN: Final = "EndUnknown"
    DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
    METRICS_UNAVAILABLE: Final = "MetricsUnavailable"
    # finished by what happens to machines
    EVICTED: Final = "Evicted"
    PREEMPTED: Final = "Preempted"
    NODE_LOST: Final = "NodeLost"
    NODE_SHUTDOWN: Final = "NodeShutdown"
    NODE_REFUSED: Final = "NodeRefused"
    PROCESS_VANISHED: Final = "ProcessVanished"


# No fault of the trial: it is tried again whatever its study's retry_limit is.
DISRUPTIONS: Final = frozenset(
    {
        TrialReason.EVICTED,
        TrialReason.PREEMPTED,
        TrialReason.NODE_LOST,
        TrialReason.NODE_SHUTDOWN,
        TrialReason.NODE_REFUSED,
        TrialReason.PROCESS_VANISHED,
    }
)
# A trial whose machine keeps being taken away, or whose clients fall silent, is tried again so often even without a
# retry_limit. Its attempts are all counted together: one that fails by itself later is judged by the retry_limit alone.
MAX_DISRUPTIONS: Final = 5


@dataclass(frozen=True, slots=True)
class Tag:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class TrialAttempt:
    """An attempt that failed and was followed by another; the last one's story is the trial's own. `objective` is what it had
    come to by then."""

    number: int
    run: str
    reason: str
    message: str
    objective: float | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewTrial:
    """A suggestion that is about to become a trial; `reason` and `message` say what it waits for. `client_id`, with `lease`:
    whose it is to be, where that is known before it is stored. `algorithm`: whose suggestion it is, where the study does not
    say it."""

    id: str
    parameters: tuple[Parameter, ...]
    tags: tuple[Tag, ...] = ()
    reason: str = ""
    message: str = ""
    client_id: str = ""
    lease: timedelta | None = None
    algorithm: str = ""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Trial:
    """As stored. Times are UTC and aware.

    `objective` is the objective's value by the study's strategy over what this attempt has reported so far; it may be NaN or
    infinite. `stop_reason` is not empty once the trial has been asked to end: it stays unfinished until its run is gone and
    then becomes KILLED (or ERROR, for a time-out) with that reason and `stop_message`. `cursor` says how far the output of
    this attempt has been taken in; only its worker can read it. `not_before` holds the next attempt back.

    `model_path` is where the program of this attempt has said that its model is; empty when it has said nothing.

    `lease`, of an unfinished trial at a client that named itself: how long it stays that client's without a sign of it, and
    `lease_until` when that is over, by the database's clock. From then on it is handed to the next client that asks, as another
    attempt.
    """

    id: str
    study_id: str
    number: int
    attempt: int
    state: TrialState
    parameters: tuple[Parameter, ...]
    created_at: datetime
    revision: int
    reason: str = ""
    message: str = ""
    tags: tuple[Tag, ...] = ()
    run: str = ""
    client_id: str = ""
    objective: float | None = None
    stop_reason: str = ""
    stop_message: str = ""
    cursor: str = ""
    not_before: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    lease: timedelta | None = None
    lease_until: datetime | None = None
    model_path: str = ""
