"""A reconciler over a real database and real processes, whose parts fail when they are told to."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from katib.domain.errors import UnavailableError
from katib.domain.names import new_id
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Study, StudySpec, StudyState
from katib.domain.trial import Trial, TrialState
from katib.manager.changes import Applied, StudyChanges
from katib.manager.controller.means import Means, Outside
from katib.manager.controller.reconcile import Reconciler
from katib.manager.metrics import Metrics
from katib.manager.ports import Storage
from katib.manager.service_ports import (
    History,
    Suggestion,
    SuggestionReply,
    SuggestionRequest,
)
from katib.manager.storage.open import open_storage
from katib.worker.local.worker import LocalWorker
from tests.e2e.harness import until

ME, OTHER = "a" * 16, "b" * 16


class Service:
    """A suggestion service in this process: as many as there is room for, once it is let."""

    def __init__(self) -> None:
        self.held: list[tuple[SuggestionRequest, Future[SuggestionReply]]] = []
        self.hold = False
        self.last = False

    def set_parameters(self, _algorithm: str, _study_id: str, _spec: StudySpec) -> "Future[History]":
        done: Future[History] = Future()
        done.set_result(History.FINALS)
        return done

    def generate(self, _algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        reply: Future[SuggestionReply] = Future()
        self.held.append((request, reply))
        if not self.hold:
            self.release()
        return reply

    def release(self) -> None:
        for request, reply in self.held:
            limits = request.spec.limits
            count = min((limits.max_parallel or 1) - request.unfinished_count, 10)
            suggestion = Suggestion((Parameter("x", ParameterType.DOUBLE, "0.5"),))
            reply.set_result(SuggestionReply((suggestion,) * count, completed=self.last))
        self.held.clear()

    def stop(self, _algorithm: str, _study_id: str) -> None: ...


class Failing:
    """A storage whose next `apply` finds the database away: before it is done, or after."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.before = self.after = False
        self.meanwhile: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def apply(self, study_id: str, changes: StudyChanges, manager_id: str | None = None) -> Applied:
        if self.before:
            self.before = False
            raise UnavailableError("the database is away")
        if self.meanwhile is not None:
            # Somebody else, between what the pass has read and what it writes.
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        applied = self._storage.apply(study_id, changes, manager_id)
        if self.after:
            self.after = False
            raise UnavailableError("the connection was lost while it committed")
        return applied


class Desk:
    """One manager's reconciler, its storage and its worker."""

    def __init__(self, folder: Path, manager_id: str = ME, rules: object = None) -> None:
        self.storage = Failing(open_storage(f"sqlite:///{folder}/katib.db"))
        self.worker = LocalWorker(folder, stop_grace_s=1.0)
        self.service = Service()
        self.manager_id = manager_id
        self.woken: list[str] = []
        self.made: list[str] = []
        self.lease = True
        # By how much the clock has been set.
        self.set = timedelta()
        self.term = 1
        self.outside = Outside(self.storage, self.worker, self.service, rules, Metrics())  # type: ignore[arg-type]
        self.reconciler = Reconciler(
            Means(
                manager_id,
                self.outside,
                self.woken.append,
                term=lambda: self.term if self.lease else None,
                clock=lambda: datetime.now(UTC) + self.set,
            )
        )

    def create(self, spec: StudySpec) -> str:
        made = Study(
            id=new_id(),
            spec=spec,
            state=StudyState.RUNNING,
            created_at=datetime.now(UTC),
            revision=1,
            manager=self.manager_id,
        )
        self.storage.create_study(made)
        self.made.append(made.id)
        return made.id

    def trials(self, study_id: str) -> Sequence[Trial]:
        return (*self.storage.finished_trials(study_id), *self.storage.unfinished_trials(study_id))

    def work(self, study_id: str, passes: int = 1) -> None:
        for _ in range(passes):
            self.reconciler.reconcile(study_id)

    def finish(self, study_id: str) -> Study:
        def look() -> Study | None:
            self.work(study_id)
            found: Study = self.storage.get_study(study_id)
            return found if found.state.finished else None

        return until(look, poll=0.01)

    def close(self) -> None:
        """Nothing of the test goes on behind it."""
        for study_id in self.made:
            for run in self.worker.list(study_id):
                self.worker.stop(study_id, run.name)
            until(lambda: all(run.phase.ended for run in self.worker.list(study_id)))  # noqa: B023 - called at once
        self.worker.close()
        self.storage.close()


def running(desk: Desk, study_id: str, count: int = 1) -> list[Trial]:
    def look() -> list[Trial] | None:
        desk.work(study_id)
        found = [t for t in desk.storage.unfinished_trials(study_id) if t.state is TrialState.RUNNING]
        return found if len(found) == count else None

    return until(look, poll=0.01)
