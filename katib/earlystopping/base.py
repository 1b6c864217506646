"""What an early-stopping rule is: a name, a table of settings, and a function from a study's trials to those to stop.

A rule keeps nothing between calls: all that it may know comes with the question.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar, cast

from katib.domain.settings import Options, Values, whole
from katib.domain.study import CHECK_INTERVAL as CHECK_INTERVAL_NAME
from katib.domain.study import StudySpec
from katib.domain.trial import Trial
from katib.earlystopping.curve import Curve

T = TypeVar("T")
_NOTHING: Final = Curve()

# Where a refusal says that something is wrong: the study is one field of every request that carries it.
STUDY_PATH: Final = "study_config"
SETTINGS_PATH: Final = f"{STUDY_PATH}.early_stopping_parameters"

CHECK_INTERVAL: Final = whole(
    CHECK_INTERVAL_NAME,
    None,
    "Seconds between questions to the rule. It is Katib's own: no rule reads it.",
    least=1,
    default_text="when new metrics come",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a study asks, checked: `values` are its settings as the rule's table reads them."""

    spec: StudySpec
    values: Values


@dataclass(frozen=True, slots=True)
class Request:
    """`curves`: by trial id and metric, the values in the order in which they came, each at its step.

    `kept` may be handed on from question to question of the same study: see `once`.
    """

    study_id: str
    problem: Problem
    running: Sequence[Trial]
    finished: Sequence[Trial]
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    kept: dict[tuple[str, Hashable], object] = field(default_factory=dict)

    def curve(self, trial: Trial, metric: str) -> Curve:
        return self.curves.get(trial.id, {}).get(metric, _NOTHING)

    def once(self, trial: Trial, key: Hashable, make: Callable[[], T]) -> T:
        """`make()`. For a finished trial, whose values never change, it is computed once where the service remembers the study;
        so it must depend on nothing but these values and what is in `key`."""
        if not trial.state.finished:
            return make()
        place = (trial.id, key)
        if place not in self.kept:
            self.kept[place] = make()
        return cast(T, self.kept[place])


class Rule(Protocol):
    """Implementations stand in `katib.earlystopping.rules` or in other distributions, and are found by their entry point in
    the group `katib.earlystopping`. Methods are called from several threads at once."""

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> Options:
        """Every setting it knows; CHECK_INTERVAL among them."""

    def check(self, problem: Problem) -> None:
        """Raises InvalidArgumentError for what the table cannot know, fields under STUDY_PATH. The spec of a 0.1 manager
        holds nothing but the settings."""

    def metrics(self, problem: Problem) -> Sequence[str]:
        """The metrics of the study that it looks at: no others are sent."""

    def stop(self, request: Request) -> Sequence[Trial]:
        """The running trials that should stop now, each with a `message` that says why, without a full stop. Values are
        whatever was reported: NaN, infinite, missing."""
