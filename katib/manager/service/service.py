"""The manager's use cases in one place: what its servicer, and a test in process, call.

Each group of them is a class in a module of its own, made from the same `Context`, and knows nothing of the others:

    studies, trials, models, tokens   look, change, report
    clients                           0.1's loop: a client asks for trials and completes them. `giving` decides who gets which
                                      and stores that, with `lines` for those that wait for the same service; `supply` has the
                                      suggestions, from `prepared`, which `refills` fills ahead, or from the service. Those
                                      who ask a rule share its answers (`together`)
    watch                             streams of what changes; `looks` shares the processor among them

Checks of what a request carries stand in `checks`, what the counters say of a study's end in `ends`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from katib.domain.views import ServiceStatus, StudyEvent
from katib.manager.service.clients import ClientUseCases
from katib.manager.service.context import Context
from katib.manager.service.models import ModelUseCases
from katib.manager.service.studies import StudyUseCases
from katib.manager.service.tokens import TokenUseCases
from katib.manager.service.trials import TrialUseCases
from katib.manager.service.watch import Watcher, WatchUseCase

T = TypeVar("T")


class ManagerService(StudyUseCases, TrialUseCases, ClientUseCases, ModelUseCases, TokenUseCases):
    """Takes and gives domain types; raises domain errors. `katib.api.client.ManagerClient` has these methods too, with the
    arguments that a client of today needs."""

    def __init__(self, context: Context, stopping: Callable[[], bool] = lambda: False) -> None:
        super().__init__(context)
        self._watch = WatchUseCase(context.storage, stopping)

    def watch_study(self, study_id: str, after_revision: int = 0) -> Iterator[StudyEvent]:
        return self._watch.watch_study(study_id, after_revision, Watcher(), lambda event: event)

    def watch_study_as(
        self, study_id: str, after_revision: int, watcher: Watcher, show: Callable[[StudyEvent], T]
    ) -> Iterator[T]:
        """As `watch_study`, but gives what `show` makes of each event; its cost is the caller's too."""
        return self._watch.watch_study(study_id, after_revision, watcher, show)

    def list_algorithms(self) -> Sequence[ServiceStatus]:
        """The services that are known here, each asked whether it serves now."""
        algorithms, rules = self._storage.algorithms_in_use()
        return self._context.directory.services(algorithms, rules)
