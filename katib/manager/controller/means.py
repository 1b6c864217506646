"""What a manager drives its studies with: everything outside of the controller, and its own right to act."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from katib.manager.controller.moments import steady_clock
from katib.manager.metrics import Metrics
from katib.manager.ports import Storage
from katib.manager.quotas import Room
from katib.manager.service_ports import EarlyStoppingServices, SuggestionServices
from katib.worker.base import Worker


class LeaseOverError(Exception):
    """The others do not believe any more that this manager lives: the pass ends here, and nothing of it is missed."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the controller works on and asks, by its protocols. `environment(trial_id, attempt)`: variables for a run. `room`:
    for how many trials there is room beside a study's own limit; None: for any number. `noticed(study_id)`: told when a study
    that this manager drives has changed, by whomever, or is driven no longer."""

    storage: Storage
    worker: Worker
    suggestions: SuggestionServices
    rules: EarlyStoppingServices
    metrics: Metrics
    environment: Callable[[str, int], Mapping[str, str]] = lambda _trial_id, _attempt: {}
    room: Room | None = None
    noticed: Callable[[str], None] = lambda _study_id: None


@dataclass(frozen=True, slots=True)
class Means:
    """`wake(study_id)`: to have another pass soon. `term()`: for how long this manager's lease has held on end, as a number
    that is another one after each lapse; None while it is over. `clock` is the time of day, which is stored and may be set;
    `steady` one that only ever goes on."""

    manager_id: str
    outside: Outside
    wake: Callable[[str], None]
    term: Callable[[], int | None] = lambda: 1
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    steady: Callable[[], datetime] = field(default_factory=steady_clock)

    def hold(self, term: int | None) -> None:
        """To be called right before anything is done in the world; raises LeaseOverError. That the lease is valid is not
        enough: it may have lapsed and been renewed since the pass began in `term`, and another manager have driven the study
        in between."""
        if term is None or self.term() != term:
            raise LeaseOverError
