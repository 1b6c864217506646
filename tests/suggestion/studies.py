"""Studies to try algorithms on, and a manager in a nutshell that runs them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType, Scale
from katib.domain.study import Limits, Objective, Setting, StudySpec
from katib.domain.trial import Trial, TrialState
from katib.suggestion.base import Algorithm, History, Reply, Suggestion
from katib.suggestion.service import Call, check, generate

DOUBLE, INT, DISCRETE, CATEGORICAL = ParameterType
STUDY_ID: Final = "a0123456789abcde"
NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def parameter(
    name: str,
    type_: ParameterType,
    low: object = "",
    high: object = "",
    *,
    values: Sequence[str] = (),
    step: object = "",
    scale: Scale = Scale.LINEAR,
) -> ParameterConfig:
    return ParameterConfig(name, type_, FeasibleSpace(str(low), str(high), tuple(values), str(step), scale))


# Every type, scale and step, ranges of a single point among them.
INFINITE: Final = (
    parameter("lr", DOUBLE, "1e-6", "1", scale=Scale.LOG),
    parameter("momentum", DOUBLE, "-0.5", "0.9"),
    parameter("dropout", DOUBLE, "0", "0.5", step="0.1"),
    parameter("decay", DOUBLE, "0.001", "0.1", step="0.001", scale=Scale.LOG),
    parameter("layers", INT, 1, 7),
    parameter("units", INT, 1, 1024, scale=Scale.LOG),
    parameter("width", INT, 16, 64, step=16),
    parameter("batch", DISCRETE, values=("128", "32", "6.4e1")),
    parameter("optimizer", CATEGORICAL, values=("sgd", "adam", "", "rms prop")),
    parameter("one", DOUBLE, "0.25", "0.25"),
    parameter("two", INT, 2, 2, scale=Scale.LOG),
    parameter("three", CATEGORICAL, values=("3",)),
)
# 3 * 2 * 3 * 2 * 1 = 36 points.
FINITE: Final = (
    parameter("layers", INT, 1, 3),
    parameter("dropout", DOUBLE, "0", "0.5", step="0.3"),
    parameter("batch", DISCRETE, values=("128", "32", "64")),
    parameter("optimizer", CATEGORICAL, values=("sgd", "adam")),
    parameter("one", DOUBLE, "0.25", "0.25"),
)
# 24 points whose values have unequal shares.
FINITE_LOG: Final = (
    parameter("units", INT, 1, 12, scale=Scale.LOG),
    parameter("optimizer", CATEGORICAL, values=("sgd", "adam")),
)
# For `bowl`.
BOWL: Final = (
    parameter("lr", DOUBLE, "1e-4", "1", scale=Scale.LOG),
    parameter("momentum", DOUBLE, "0", "1"),
    parameter("layers", INT, 1, 9),
    parameter("optimizer", CATEGORICAL, values=("sgd", "adam", "ftrl")),
)


def study(
    parameters: Sequence[ParameterConfig],
    *settings: tuple[str, object],
    max_trials: int | None = None,
    **fields: object,
) -> StudySpec:
    spec = StudySpec(
        name="study",
        objective_name="loss",
        optimization=Objective.MINIMIZE,
        parameters=tuple(parameters),
        algorithm="some",
        settings=tuple(Setting(name, str(value)) for name, value in settings),
        limits=Limits(max_trials=max_trials),
    )
    return replace(spec, **fields)  # type: ignore[arg-type]


def values(reply: Reply) -> list[tuple[str, ...]]:
    return [tuple(p.value for p in s.parameters) for s in reply.suggestions]


Outcome = Callable[[Trial], tuple[TrialState, float | None]]


def smooth(trial: Trial) -> tuple[TrialState, float | None]:
    """Everything ends well, with an objective that depends on the parameters."""
    numbers = [len(p.value) if p.type is CATEGORICAL else math.atan(float(p.value)) for p in trial.parameters]
    return TrialState.COMPLETED, sum(math.sin(3 * n + i) for i, n in enumerate(numbers))


def bowl(trial: Trial) -> tuple[TrialState, float | None]:
    """Least, 0, at a learning rate of 0.03, momentum 0.8, 3 layers and ftrl."""
    lr, momentum, layers, optimizer = (p.value for p in trial.parameters)
    numbers = (math.log10(float(lr) / 0.03) / 4, float(momentum) - 0.8, (int(layers) - 3) / 8)
    return TrialState.COMPLETED, 4 * sum(n * n for n in numbers) + (0.0 if optimizer == "ftrl" else 0.5)


def troubled(trial: Trial) -> tuple[TrialState, float | None]:
    """All that can happen to a trial, one after the other."""
    return [
        smooth(trial),
        (TrialState.COMPLETED, math.nan),
        (TrialState.ERROR, None),
        (TrialState.KILLED, None),
        (TrialState.COMPLETED, math.inf),
        (TrialState.KILLED, 0.5),
        (TrialState.COMPLETED, -math.inf),
        (TrialState.ERROR, math.nan),
        (TrialState.COMPLETED, 1.7976931348623157e308),
    ][trial.number % 9]


@dataclass
class MiniManager:
    """Asks and stores as a manager does. Trials run until `finish`. `others`: another algorithm has suggested some of them."""

    algorithm: Algorithm
    spec: StudySpec
    study_id: str = STUDY_ID
    outcome: Outcome = smooth
    trials: list[Trial] = field(default_factory=list)
    others: bool = False

    def call(self) -> Call:
        finished = [t for t in self.trials if t.state.finished]
        unfinished = [t for t in self.trials if not t.state.finished]
        needs = self.algorithm.history(check(self.algorithm, self.spec))
        counts = needs is History.NONE or (needs is History.OTHERS and not self.others)
        return Call(
            self.study_id,
            self.spec,
            finished_count=len(finished),
            unfinished_count=len(unfinished),
            first_number=len(self.trials) + 1,
            finished=() if counts else finished,
            unfinished=() if counts else unfinished,
        )

    def ask(self) -> Reply:
        """One call; its suggestions run from now on."""
        reply = generate(self.algorithm, self.call())
        for suggestion in reply.suggestions:
            self.add(suggestion)
        return reply

    def add(self, suggestion: Suggestion) -> None:
        """A trial of these parameters runs from now on."""
        number = len(self.trials) + 1
        self.trials.append(
            Trial(
                id=f"b{number:015x}",
                study_id=self.study_id,
                number=number,
                attempt=1,
                state=TrialState.RUNNING,
                parameters=suggestion.parameters,
                created_at=NOW,
                revision=0,
                tags=suggestion.tags,
            )
        )

    def finish(self, most: int = 10**9) -> None:
        """The oldest ones that run end."""
        running = [i for i, t in enumerate(self.trials) if not t.state.finished]
        for i in running[:most]:
            state, objective = self.outcome(self.trials[i])
            self.trials[i] = replace(self.trials[i], state=state, objective=objective)

    def run(self, most: int = 1000) -> Reply:
        """Asks and finishes until the algorithm says that it is done; that reply."""
        for _ in range(most):
            reply = self.ask()
            if reply.completed:
                return reply
            self.finish()
        raise AssertionError(f"not completed after {most} calls and {len(self.trials)} trials")
