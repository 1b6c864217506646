"""What a plan is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from katib.domain.study import Study
from katib.domain.trial import Trial
from katib.manager.service_ports import History
from katib.worker.base import RunStatus

FREE_SLOT: Final = "it begins as soon as the study has a free slot (max_parallel)"


@dataclass(frozen=True, slots=True)
class Asking:
    """How the study stands with its suggestion service.

    `in_flight`: a call is under way. `not_before`: after a failure or an empty reply. `completed`: the service said that there
    is nothing more to try, when `completed_at` trials had finished; `completed_reason` is its word for it. `empty_since`: it
    has had no suggestion since then while nothing ran. `trouble`: reason and message to show; from
    `trouble_until` on it is another one, if nothing happens before. `note`: what the service wants shown; None: it has not
    been asked yet.
    """

    in_flight: bool = False
    not_before: datetime | None = None
    history: History | None = None
    completed_at: int | None = None
    completed_reason: str = ""
    empty_since: datetime | None = None
    trouble: tuple[str, str] | None = None
    trouble_until: datetime | None = None
    note: str | None = None


@dataclass(slots=True)
class Heard:
    """What a pass has heard of a run, beside its status."""

    # It has ended, and its output has been taken in whole.
    drained: bool = False
    # Its last lines, where it failed or ended well without its objective; and why there is none in the latter case.
    tail: str = ""
    missing: str = ""
    # What its trial is to say that has its objective all the same.
    warning: str = ""
    # Why its output could not be read now; and why its worker cannot say now whether it is there.
    unread: str = ""
    unseen: str = ""


NOTHING_HEARD: Final = Heard()


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that the plan may know.

    `trials` are the unfinished ones by number, with the objective as it is after the output taken in in this pass. `runs`, and
    what was `heard` of them, by name.
    `rule_due`: the early-stopping rule should be asked now. `worker_trouble`: why the worker could create no run; it is tried
    again at `worker_retry`, and the trials in `create_last` after all others, in that order. `unended`: why runs that are to
    end could not be ended yet.
    """

    study: Study
    trials: Sequence[Trial]
    runs: Mapping[str, RunStatus]
    heard: Mapping[str, Heard] = field(default_factory=dict)
    asking: Asking = field(default_factory=Asking)
    rule_due: bool = False
    rule_trouble: tuple[str, str] | None = None
    worker_trouble: str = ""
    worker_retry: datetime | None = None
    create_last: tuple[str, ...] = ()
    unended: Mapping[str, str] = field(default_factory=dict)
