"""A study's conversation with its early-stopping service, pass by pass, and what it costs."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from katib.api import api_pb2 as pb
from katib.domain.errors import KatibError, UnimplementedError
from katib.domain.study import Setting, Study, StudySpec
from katib.domain.trial import Trial
from katib.earlystopping import messages
from katib.earlystopping.rules.medianstopping import MedianStopping
from katib.earlystopping.told import Told
from katib.manager.changes import StudyChanges
from katib.manager.controller.ruling import Ruling
from katib.manager.ports import Storage
from katib.manager.remote.earlystopping import answer_from_proto, delta_to_proto
from katib.manager.service_ports import StoppingAnswer, StoppingDelta, StoppingRequest
from katib.manager.storage.open import open_storage
from tests.storage.builders import COMPLETED, go, intake, make_spec, make_study, observe, running

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = make_spec(
    early_stopping="medianstopping", early_stopping_settings=(Setting("LeastStep", "3"),), metrics=("loss",)
)
STEPS = 20


class Service:
    """The service of a rule of ours, by the messages that go over the wire; `old` has no deltas, as one of 0.1."""

    def __init__(self) -> None:
        self.told = Told(MedianStopping())
        self.sizes: list[int] = []
        self.asked: list[str] = []
        self.error: KatibError | None = None
        self.old = False
        # How many came with the last question in full.
        self.values = 0

    def set_parameters(self, _rule: str, _study_id: str, _spec: StudySpec) -> "Future[None]":
        return self._future("settings", lambda: None)

    def should_stop(self, _rule: str, request: StoppingRequest) -> "Future[Mapping[str, str]]":
        self.values = sum(len(found) for _, found in request.curves)
        return self._future("in full", lambda: {t.id: "behind" for t in request.running[1:]})

    def should_stop_delta(self, _rule: str, delta: StoppingDelta) -> "Future[StoppingAnswer]":
        def answer() -> StoppingAnswer:
            if self.old:
                raise UnimplementedError("it has no such method")
            request = delta_to_proto(delta)
            self.sizes.append(request.ByteSize())
            read = pb.ShouldTrialStopDeltaRequest.FromString(request.SerializeToString())
            return answer_from_proto(messages.answer_to_proto(self.told.ask(messages.delta_from_proto(read))))

        return self._future("more" if delta.more else "delta", answer)

    def _future(self, what: str, make: Callable[[], Any]) -> "Future[Any]":
        self.asked.append(what)
        future: Future[Any] = Future()
        try:
            if self.error is not None:
                raise self.error
            future.set_result(make())
        except KatibError as error:
            future.set_exception(error)
        return future


class Counting:
    """A storage that counts the rows which it reads of trials and observations."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def changed_trials(self, *arguments: Any) -> Any:
        found = self._storage.changed_trials(*arguments)
        self.rows += len(found)
        return found

    def observations_after(self, *arguments: Any) -> Any:
        found = self._storage.observations_after(*arguments)
        self.rows += len(found[0])
        return found

    def finished_trials(self, *arguments: Any) -> Any:
        found = self._storage.finished_trials(*arguments)
        self.rows += len(found)
        return found

    def curves(self, *arguments: Any) -> Any:
        for trial_id, found in self._storage.curves(*arguments):
            self.rows += len(found)
            yield trial_id, found


class Desk:
    def __init__(self, folder: Path) -> None:
        self.storage = Counting(open_storage(f"sqlite:///{folder}/katib.db"))
        self.service = Service()
        self.study = self.storage.create_study(make_study(spec=SPEC))
        self.ruling = self.make()
        self.now = NOW
        self.passes = 0

    def make(self) -> Ruling:
        return Ruling(self.service, self.storage, lambda: None)  # type: ignore[arg-type]

    def read(self) -> Study:
        read: Study = self.storage.get_study(self.study.id)
        return read

    def report(self, trial: Trial, *values: float) -> None:
        current = self.storage.get_trial(trial.id)
        seen = [o for v in values for o in (observe(v), observe(9.0, "loss"))]
        self.storage.apply(
            self.study.id, StudyChanges(intakes=(intake(current, *seen, to=str(len(values)) + current.cursor),))
        )

    def finish(self, count: int) -> None:
        trials = running(self.storage, self.study, count)
        for trial in trials:
            self.report(trial, *(0.5 for _ in range(STEPS)))
        go(self.storage, *map(self.storage.get_trial, [t.id for t in trials]), to=COMPLETED)

    def ask(self) -> list[str]:
        """Passes until the service has answered the question that new metrics give rise to; the trials it stops."""
        self.ruling.metrics_came()
        self.now += timedelta(minutes=1)
        before = len(self.service.asked)
        for _ in range(1000):
            stops = self.ruling.take(self.read(), self.now)
            if stops or (not self.ruling.due(self.read(), self.now) and len(self.service.asked) > before):
                return [s.trial_id for s in stops]
            self.passes += 1
            self.ruling.ask(self.read(), self.storage.unfinished_trials(self.study.id), self.now)
        raise AssertionError("the conversation does not come to an end")
