"""Managers of one database, without their threads: each pass, each event and each failure comes when a test says so.

Real are the use cases, the reconciler with its plan, and the storage. Scripted are the clock, the runs and the services.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from katib.domain.errors import KatibError, UnavailableError
from katib.domain.study import Intent, Study
from katib.domain.views import ServiceKind, ServiceStatus
from katib.manager.access import RunAccess
from katib.manager.controller.means import LeaseOverError, Means, Outside
from katib.manager.controller.reconcile import Reconciler
from katib.manager.metrics import Metrics
from katib.manager.modelstore.memory import MemoryModelStore
from katib.manager.ports import ManagerRecord, Storage
from katib.manager.service.context import Context
from katib.manager.service.patience import Patience
from katib.manager.service.service import ManagerService
from katib.manager.service_ports import History
from katib.manager.storage.credentials import MemoryTokens
from katib.manager.storage.secrets import MemorySecrets
from katib.worker.base import RunSpec
from tests.lifecycle.ledger import Ledger
from tests.lifecycle.services import AtOnce, Held, HeldRules, Services
from tests.lifecycle.worker import Place, ScriptedWorker

BEGIN: Final = datetime(2026, 11, 24, 9, 30, 15, 123457, tzinfo=UTC)
# How long a pass rests that found something away.
REST: Final = timedelta(seconds=1)
# More passes than any end takes: a study that needs more goes in circles.
MANY: Final = 3000
_METRICS: Final = Metrics()


class NoDirectory:
    """Nothing can be listed here."""

    def names(self, _kind: ServiceKind) -> frozenset[str]:
        return frozenset()

    def services(self, _algorithms: frozenset[str], _rules: frozenset[str]) -> Sequence[ServiceStatus]:
        return ()


class Crash(BaseException):
    """The manager's process is killed here."""


@dataclass
class Trouble:
    """What comes between a manager and the world, once, at its next call named `at`.

    `crash` and `away` (the storage or the worker cannot be reached) come before the call takes effect, or `after` it.
    `frozen`: the manager stands still before the call while `meanwhile` happens, and then makes it. `late`: so it does, but
    notices afterwards that its lease is over.
    """

    kind: str
    at: str
    after: bool = False
    meanwhile: Callable[["Manager"], None] = lambda _frozen: None


class Outward:
    """Everything behind this can meet with trouble."""

    def __init__(self, manager: "Manager", inner: Any, *, can_be_away: bool) -> None:
        self._manager = manager
        self._inner = inner
        self._can_be_away = can_be_away

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **named: Any) -> Any:
            trouble = self._manager.comes_to_trouble(name)
            if trouble is None:
                return method(*arguments, **named)
            if trouble.kind in ("frozen", "late"):
                trouble.meanwhile(self._manager)
                self._manager.lease = trouble.kind == "frozen"
                return method(*arguments, **named)
            error = UnavailableError("it is away, as scripted") if trouble.kind == "away" else Crash()
            if trouble.kind == "away" and not self._can_be_away:
                return method(*arguments, **named)
            if trouble.after:
                if trouble.kind == "crash" and isinstance(arguments[0] if arguments else None, RunSpec):
                    # Killed when the run was on its way, not there yet.
                    self._inner.begin_creating(*arguments, listed=False)
                else:
                    method(*arguments, **named)
            raise error

        return call


class Manager:
    """One manager's process: what it remembers, and the queue of its controller by the world's clock."""

    def __init__(self, world: "World", manager_id: str) -> None:
        self.id = manager_id
        self.world = world
        self.woken: set[str] = set()
        self.due: dict[str, datetime] = {}
        self.revisions: dict[str, int] = {}
        self.trouble: Trouble | None = None
        # Whether it believes so; it stops acting by its own clock.
        self.lease = True
        self.at_once = AtOnce(world.services)
        storage: Any = Outward(self, world.ledger, can_be_away=True)
        worker: Any = Outward(self, ScriptedWorker(world.place, manager_id), can_be_away=True)
        suggestions: Any = Outward(self, Held(world.services), can_be_away=False)
        rules: Any = Outward(self, HeldRules(world.services), can_be_away=False)
        use_cases: Any = Outward(self, self.at_once, can_be_away=False)
        world.place.wakes.append(self.wake)
        world.ledger.heartbeat(ManagerRecord(manager_id, "host", manager_id))
        self.reconciler = Reconciler(
            Means(
                manager_id,
                Outside(storage, worker, suggestions, rules, _METRICS),
                self.wake,
                term=lambda: 1 if self.lease else None,
                clock=lambda: world.now,
                steady=lambda: world.now,
            )
        )
        self.service = ManagerService(
            Context(
                storage=storage,
                models=MemoryModelStore(),
                suggestions=use_cases,
                rules=use_cases,
                directory=NoDirectory(),
                worker=worker,
                controller=self,
                access=RunAccess(MemorySecrets(), lambda: ""),
                tokens=MemoryTokens(),
                now=lambda: world.now,
                patience=Patience(0),
            )
        )

    def comes_to_trouble(self, call: str) -> Trouble | None:
        trouble = self.trouble
        if trouble is None or trouble.at != call:
            return None
        self.trouble = None
        self.world.fired = True
        return trouble

    # What the use cases see of a controller

    @property
    def manager_id(self) -> str:
        return self.id

    def created(self, study: Study, history: History | None) -> None:
        self.reconciler.prime(study, history)
        self.wake(study.id)

    def wake(self, study_id: str) -> None:
        self.woken.add(study_id)

    def wake_soon(self, study_id: str) -> None:
        self.wake(study_id)

    def look(self) -> None: ...

    # What the controller's threads do

    def make_pass(self, study_id: str) -> None:
        self.woken.discard(study_id)
        self.due.pop(study_id, None)
        try:
            again = self.reconciler.reconcile(study_id)
        except LeaseOverError:
            self.due[study_id] = self.world.now + REST
            return
        except KatibError as error:
            # Without trouble there is nothing that a pass may stumble over.
            if not self.world.fired:
                raise
            self.due[study_id] = self.world.now + REST
            self.reconciler.note_failure(study_id, error)
            return
        finally:
            self.lease = True
        if again is not None:
            self.due[study_id] = min(again, self.due.get(study_id, again))

    def claim(self, dead: Sequence[str]) -> None:
        for study_id in self.world.ledger.claim_studies(self.id, "", dead, 100):
            self.reconciler.forget(study_id)
            self.wake(study_id)

    def notice(self) -> None:
        revisions = dict(self.world.ledger.driven_studies(self.id))
        for study_id, revision in revisions.items():
            if self.revisions.get(study_id) != revision:
                self.wake(study_id)
        self.revisions = revisions

    def is_due(self, study_id: str) -> bool:
        return study_id in self.woken or self.due.get(study_id, self.world.now + REST) <= self.world.now


@dataclass
class World:
    storage: Storage
    now: datetime = BEGIN
    services: Services = field(default_factory=Services)
    # Whether a manager met with trouble in the present step.
    fired: bool = False
    # The study that a pass is being made over.
    about: str = ""

    def __post_init__(self) -> None:
        self.place = Place(lambda: self.now)
        self.ledger: Any = Ledger(self.storage, self.place, lambda: self.now, lambda: not self.fired)
        self.ledger.exhausted = self.services.exhausted
        self._born = 0
        self.managers = [self._new_manager(), self._new_manager()]

    def _new_manager(self) -> Manager:
        self._born += 1
        return Manager(self, f"manager-{self._born}")

    def crash(self, manager: Manager) -> Manager:
        """Its memory is gone; another one stands in its place, and takes over what it drove."""
        self.place.wakes.remove(manager.wake)
        self.managers[self.managers.index(manager)] = successor = self._new_manager()
        successor.claim([manager.id])
        return successor

    def do(self, manager: Manager, deed: Callable[[], Any]) -> Any:
        """What a manager does, which may crash in the middle of it: the answer is UnavailableError then."""
        try:
            return deed()
        except Crash:
            self.crash(manager)
            raise UnavailableError("the manager was killed in the middle of it") from None
        finally:
            self.check()

    def make_pass(self, manager: Manager, study_id: str) -> None:
        about, self.about = self.about, study_id
        try:
            self.do(manager, lambda: manager.make_pass(study_id))
        except UnavailableError:
            # It crashed.
            assert manager not in self.managers
        finally:
            self.about = about

    def check(self) -> None:
        if self.ledger.violations:
            raise self.ledger.violations[0]

    # The end: nothing fails any more

    def settle(self) -> None:
        """Everything that is due happens, and time moves to what comes next, until there is nothing more to come. What wakes a
        study is what would wake it in a controller: nothing is helped along."""
        for _ in range(MANY):
            if self.passes():
                continue
            if self.services.calls:
                self.services.answer(self.services.calls[0], "ok")
                continue
            alive = [run for run in self.place.runs.values() if run.alive]
            if alive:
                self._finish(alive[0])
                continue
            coming = [at for m in self.managers for at in m.due.values()]
            if not coming:
                return
            self.now = max(self.now, min(coming))
        raise AssertionError(f"it goes in circles: {[k.study for k in self.ledger.known.values()]}")

    def passes(self) -> bool:
        """Whether there was any to make."""
        made = False
        for manager in list(self.managers):
            if manager not in self.managers:
                continue
            others = [f"manager-{n + 1}" for n in range(self._born)]
            manager.claim([other for other in others if other not in {m.id for m in self.managers}])
            manager.notice()
            for study_id in sorted({*manager.woken, *manager.due}):
                if manager.is_due(study_id) and manager in self.managers:
                    self.ledger.begin_step()
                    self.make_pass(manager, study_id)
                    made = True
        return made

    def _finish(self, run: Any) -> None:
        if run.phase.value == "waiting":
            self.place.begin(run)
        elif run.phase.value == "stopping":
            self.place.end(run, 143, "Signal", "killed by SIGTERM (15)")
        else:
            run.values.append(("acc", 0.25))
            self.place.print(run, "acc=0.25\n")
            self.place.end(run, 0)

    def unfinished(self) -> list[Study]:
        return [
            k.study
            for k in self.ledger.known.values()
            if not k.study.state.finished or k.study.intent is not Intent.NONE
        ]
