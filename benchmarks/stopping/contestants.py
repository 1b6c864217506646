"""Who is compared: the rules of Katib, each by what its service does with a manager's question."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from benchmarks.stopping.curves import Task
from katib.api import plugins
from katib.domain.study import Setting, StudySpec
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.earlystopping.base import Request, Rule
from katib.earlystopping.curve import Curve
from katib.earlystopping.server import GROUP
from katib.earlystopping.service import check

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Nobody:
    """Every trial runs to its end."""

    def begin(self, number: int) -> None:
        pass

    def report(self, values: Sequence[tuple[int, float]]) -> set[int]:  # noqa: ARG002
        return set()

    def ended(self, number: int, stopped: bool) -> None:
        pass


class Ours:
    def __init__(self, task: Task, rule: str, settings: Mapping[str, object]) -> None:
        self._rule: Rule = plugins.find(GROUP, "rule", rule)
        self._metric = task.metric
        spec = StudySpec(
            name=task.name,
            objective_name=task.metric,
            optimization=task.objective,
            parameters=(),
            early_stopping_settings=tuple(Setting(k, str(v)) for k, v in settings.items()),
        )
        self._request = Request("a" * 16, check(self._rule, spec), (), ())
        self._running: dict[int, Trial] = {}
        self._finished: list[Trial] = []
        self._curves: dict[str, dict[str, Curve]] = {}

    def begin(self, number: int) -> None:
        trial = Trial(
            id=f"b{number:015x}",
            study_id="a" * 16,
            number=number,
            attempt=1,
            state=TrialState.RUNNING,
            parameters=(),
            created_at=_NOW,
            revision=0,
        )
        self._running[number] = trial
        self._curves[trial.id] = {self._metric: Curve()}

    def report(self, values: Sequence[tuple[int, float]]) -> set[int]:
        for number, value in values:
            self._curves[self._running[number].id][self._metric].add(value)
        request = replace(
            self._request, running=list(self._running.values()), finished=self._finished, curves=self._curves
        )
        return {trial.number for trial in self._rule.stop(request)}

    def ended(self, number: int, stopped: bool) -> None:
        trial = self._running.pop(number)
        state = TrialState.KILLED if stopped else TrialState.COMPLETED
        self._finished.append(replace(trial, state=state, reason=TrialReason.EARLY_STOPPED if stopped else ""))
