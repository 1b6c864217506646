"""How the machine takes a step: whom it is about, what comes in between, what is answered twice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from katib.domain.errors import (
    KatibError,
    NotFoundError,
    UnavailableError,
)
from katib.domain.metrics import Observation
from katib.domain.study import Study
from katib.domain.trial import Trial
from katib.manager.ports import Storage
from katib.manager.service.ask import Ask
from katib.manager.service.completion import Completion
from katib.manager.service.service import ManagerService
from tests.lifecycle.scripts import Deed, Script
from tests.lifecycle.world import Manager, Trouble, World


class InProcess:
    """The use cases as a test calls them, where they and `ManagerClient` differ."""

    def __init__(self, service: ManagerService) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def complete_trial(self, study_id: str, trial_id: str, objective: float | None) -> None:
        text = "" if objective is None else repr(objective)
        self._service.complete_trial(study_id, trial_id, Completion(is_complete=True, objective=text))

    def complete_and_ask(
        self, study_id: str, trial_id: str, attempt: int, left: Sequence[Observation], *further: str
    ) -> Any:
        reporter, client, algorithm = further
        ask = Ask(1, client, algorithm)
        said = Completion(is_complete=True, attempt=attempt, observations=left, reporter=reporter)
        return self._service.complete_trial(study_id, trial_id, said, ask)

    def abandon_trial(self, study_id: str, trial_id: str) -> None:
        self._service.complete_trial(study_id, trial_id, Completion(is_complete=False))


class Steps(RuleBasedStateMachine):
    """Subclasses say where it is stored, and how the managers are called."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.open_storage())
        self.ledger = self.world.ledger
        self.place = self.world.place
        self.healthy = True
        # The study that the present step is about, and the manager that makes it.
        self.study_id = ""
        self.manager = self.world.managers[0]

    def open_storage(self) -> Storage:
        raise NotImplementedError

    def api(self, manager: Manager) -> Any:
        return InProcess(manager.service)

    def close(self) -> None:
        self.world.storage.close()

    # Steps

    @contextmanager
    def step(self, study: int = 0, manager: int = 0, then: str = "") -> Iterator[None]:
        """`then`: what comes of it; without that few studies would come far. `answers`: the services answer well and the
        managers make the passes that are due; `passes`: they only do that."""
        self.healthy = False
        self.world.fired = False
        self.ledger.begin_step()
        known = list(self.ledger.known)
        self.study_id = known[study % len(known)] if known else ""
        self.manager = self.world.managers[manager]
        yield
        if then == "answers":
            for call in list(self.world.services.calls):
                self.world.services.answer(call, "ok")
        if then:
            self.world.passes()
        self.world.check()
        self.healthy = True

    @property
    def quiet(self) -> bool:
        """Nobody has met with trouble in this step: everything must be as it was asked."""
        return not self.world.fired

    def meanwhile(self, frozen: Manager, deeds: Sequence[Deed]) -> None:
        """What the other manager, and everybody else, do while one stands still."""
        before = self.manager, self.study_id
        self.manager = self.world.managers[1 - self.world.managers.index(frozen)]
        self.study_id = self.world.about or self.study_id
        armed, self.manager.trouble = self.manager.trouble, None
        try:
            for deed in deeds:
                if self.study_id in self.ledger.known:
                    self.perform(deed)
        finally:
            self.manager.trouble = armed
            self.manager, self.study_id = before

    def perform(self, deed: Deed) -> None:
        getattr(self, deed.what)(*deed.arguments)

    @property
    def known(self) -> Study | None:
        """The study as it is stored now."""
        known = self.ledger.known.get(self.study_id)
        return known.study if known else None

    def trial(self, number: int) -> Trial | None:
        known = self.ledger.known.get(self.study_id)
        trials = list(known.trials.values()) if known else []
        return trials[number % len(trials)] if trials else None

    def call(self, what: Callable[[Any], Any], *refusals: type[KatibError]) -> tuple[bool, Any]:
        """Whether it was answered, and the answer. In quiet, what was answered is answered again, the same, and the second
        call changes nothing."""
        manager = self.manager
        refused: tuple[type[KatibError], ...] = (NotFoundError, *refusals)
        try:
            answer = self.world.do(manager, lambda: what(self.api(manager)))
        except UnavailableError:
            assert not self.quiet
            return False, None
        except refused as error:
            if isinstance(error, NotFoundError) and NotFoundError not in refusals:
                assert not self.quiet
            return False, None
        if self.quiet:
            armed, manager.trouble = manager.trouble, None
            before = {i: k.study for i, k in self.ledger.known.items()}
            assert what(self.api(manager)) == answer
            after = {i: k.study for i, k in self.ledger.known.items()}
            assert after == before, "the same call again changed something"
            manager.trouble = armed
        return True, answer

    def arm(self, manager: int, script: Script) -> None:
        self.world.managers[manager].trouble = Trouble(
            script.kind, script.at, script.after, lambda frozen: self.meanwhile(frozen, script.meanwhile)
        )
