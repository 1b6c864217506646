"""What a service was told of studies, so that it need not be told again.

A cache and never the truth: what is here can be lost at any moment, and a question that builds on something else than what is
here is not answered. The manager begins anew then, so an answer depends on the study alone, whatever this process has seen.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from katib.domain.study import StudySpec
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.earlystopping.base import Problem, Request, Rule
from katib.earlystopping.curve import Curve
from katib.earlystopping.service import check, checked_question

# A value takes 8 bytes here, as many for its step where it has one of its own, and up to four times as many in what rules
# derive from it.
BYTES_OF_A_VALUE: Final = 48
MOST_VALUES: Final = 8_000_000
# What a trial takes beside its values, in values.
_OF_A_TRIAL: Final = 100


@dataclass(frozen=True, slots=True)
class MetricValues:
    """Some of a metric in a row; `steps`: as many, or None where the trial named none."""

    name: str
    values: Sequence[float]
    steps: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class TrialDelta:
    """A trial as it is now, and its values that are new."""

    trial: Trial
    values: Sequence[MetricValues]


@dataclass(frozen=True, slots=True)
class Delta:
    """`base` and `cursor` as on the wire; `more`: no answer is wanted yet."""

    study_id: str
    spec: StudySpec
    base: str
    cursor: str
    trials: Sequence[TrialDelta]
    more: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """`stopped` None: none was wanted, or it does not have what the question builds on. `have`: the cursor of what it has."""

    stopped: Sequence[Trial] | None
    have: str
    metrics: Sequence[str]


@dataclass(slots=True)
class _Study:
    lock: threading.Lock = field(default_factory=threading.Lock)
    cursor: str = ""
    trials: dict[str, Trial] = field(default_factory=dict)
    curves: dict[str, dict[str, Curve]] = field(default_factory=dict)
    kept: dict[tuple[str, Hashable], object] = field(default_factory=dict)
    size: int = 0

    def begin(self) -> None:
        self.cursor, self.size = "", 0
        self.trials, self.curves, self.kept = {}, {}, {}

    def take(self, delta: TrialDelta) -> None:
        trial = delta.trial
        before = self.trials.get(trial.id)
        if before is None or before.attempt != trial.attempt:
            self.curves[trial.id] = {}
        self.size += _OF_A_TRIAL * (before is None)
        self.trials[trial.id] = trial
        for new in delta.values:
            curve = self.curves[trial.id].setdefault(new.name, Curve())
            for value, step in zip(new.values, new.steps or repeat(None), strict=False):
                curve.add(value, step)
            self.size += len(new.values)


class Told:
    """Of the studies that were asked about last, as many as fit. Safe from any thread."""

    def __init__(self, rule: Rule, most: int = MOST_VALUES) -> None:
        self._rule = rule
        self._most = most
        self._lock = threading.Lock()
        # The one asked about last comes last.
        self._studies: OrderedDict[str, _Study] = OrderedDict()

    def ask(self, delta: Delta) -> Answer:
        """Raises InvalidArgumentError as `service.should_stop`."""
        checked_question(delta.spec)
        problem = check(self._rule, delta.spec)
        metrics = self._rule.metrics(problem)
        with self._lock:
            study = self._studies.setdefault(delta.study_id, _Study())
            self._studies.move_to_end(delta.study_id)
        with study.lock:
            if not delta.base:
                study.begin()
            elif delta.base != study.cursor:
                return Answer(None, study.cursor, metrics)
            # Should this fail half-way, what is here has no name.
            study.cursor = ""
            for trial in delta.trials:
                study.take(trial)
            study.cursor = delta.cursor
            stopped = None if delta.more else self._rule.stop(_request(delta.study_id, study, problem))
            answer = Answer(stopped, study.cursor, metrics)
        return answer if self._fits(delta.study_id) else Answer(stopped, "", metrics)

    def _fits(self, study_id: str) -> bool:
        """Makes room for the study by what others have; whether it is still here."""
        with self._lock:
            total = sum(study.size for study in self._studies.values())
            while total > self._most:
                _, dropped = self._studies.popitem(last=False)
                total -= dropped.size
            return study_id in self._studies


def _request(study_id: str, study: _Study, problem: Problem) -> Request:
    """A trial that is being stopped already is asked about no more."""
    trials = sorted(study.trials.values(), key=lambda trial: trial.number)
    running = [t for t in trials if t.state is TrialState.RUNNING and t.reason != TrialReason.STOPPING]
    return Request(study_id, problem, running, [t for t in trials if t.state.finished], study.curves, study.kept)
