"""What a manager acts with, on any of its studies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from katib.manager.metrics import Metrics
from katib.manager.ports import Storage
from katib.worker.base import Worker


class LeaseOverError(Exception):
    """The others do not believe any more that this manager lives: the pass ends here, and nothing of it is missed."""


@dataclass(frozen=True, slots=True)
class Means:
    """`term()`: for how long this manager's lease has held on end, as a number that is another one after each lapse; None
    while it is over. `clock` is the time of day, which is stored and may be set; `steady` one that only ever goes on.
    `environment(trial_id, attempt)`: variables for a run. `wake(study_id)`: to have another pass soon."""

    manager_id: str
    storage: Storage
    worker: Worker
    metrics: Metrics
    wake: Callable[[str], None]
    clock: Callable[[], datetime]
    steady: Callable[[], datetime]
    term: Callable[[], int | None]
    environment: Callable[[str, int], Mapping[str, str]]

    def hold(self, term: int | None) -> None:
        """To be called right before anything is done in the world; raises LeaseOverError. That the lease is valid is not
        enough: it may have lapsed and been renewed since the pass began in `term`, and another manager have driven the study
        in between."""
        if term is None or self.term() != term:
            raise LeaseOverError
