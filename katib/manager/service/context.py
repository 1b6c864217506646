"""What every use case works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from katib.domain.study import Study
from katib.manager.access import RunAccess
from katib.manager.models import ModelStore
from katib.manager.ports import Storage
from katib.manager.quotas import Room
from katib.manager.service.namespaces import NamespaceRules
from katib.manager.service.patience import Patience
from katib.manager.service.permissions import StudyAccess
from katib.manager.service_ports import Directory, EarlyStoppingServices, History, SuggestionServices
from katib.manager.tokens import TokenStore
from katib.worker.base import Worker


class Drives(Protocol):
    """The part of the controller that use cases see."""

    @property
    def manager_id(self) -> str: ...

    def created(self, study: Study, history: History | None) -> None: ...

    def wake(self, study_id: str) -> None: ...

    def wake_soon(self, study_id: str) -> None: ...

    def look(self) -> None: ...


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    storage: Storage
    models: ModelStore
    suggestions: SuggestionServices
    rules: EarlyStoppingServices
    directory: Directory
    worker: Worker
    controller: Drives
    access: RunAccess
    tokens: TokenStore
    namespaces: NamespaceRules = field(default_factory=lambda: NamespaceRules({}))
    now: Callable[[], datetime] = field(default=_now)
    patience: Patience = field(default_factory=Patience)
    # None: any number of anything.
    room: Room | None = None


class UseCases:
    """The base of the use cases: they share a context and nothing else."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._storage = context.storage
        self._room: Final = context.room or Room(context.storage)
        self.permissions: Final = StudyAccess(context.storage)
