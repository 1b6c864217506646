"""What a search algorithm is: a name, a table of settings, and a function from a study's trials to the next ones.

An algorithm keeps nothing between calls: the same request gives the same answer in any process of the same release. The
trials are what it may know; what else it must remember goes into the tags of its suggestions, which come back with the
trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from katib.domain.metrics import Observation
from katib.domain.search_space import Parameter, SearchSpace
from katib.domain.settings import Options, Values
from katib.domain.study import StudySpec
from katib.domain.trial import Tag, Trial

# Where a refusal says that something is wrong: the study is one field of every request that carries it.
STUDY_PATH = "study_config"
SETTINGS_PATH = f"{STUDY_PATH}.suggestion_parameters"


class History(Enum):
    """What an algorithm needs to see of a study's trials."""

    FINALS = "finals"  # each with its objective
    NONE = "none"  # how many there are
    CURVES = "curves"  # every observation of the objective
    OTHERS = "others"  # how many there are, while it suggested all of them itself; otherwise as FINALS


@dataclass(frozen=True, slots=True)
class Problem:
    """What a study asks, checked: `values` are its settings as the algorithm's table reads them."""

    spec: StudySpec
    space: SearchSpace
    values: Values


@dataclass(frozen=True, slots=True)
class Request:
    """One call for suggestions.

    `finished` and `unfinished` are ordered by number, and empty for History.NONE; for History.OTHERS they are either all there
    or empty. The counts are right always. `curves` gives each trial's observations by its id, for History.CURVES. `count` is
    how many suggestions there is room for, at least 1; the first of them will be trial number `first_number` of the study, the
    others follow.
    """

    study_id: str
    problem: Problem
    first_number: int
    count: int
    finished_count: int
    unfinished_count: int
    finished: Sequence[Trial] = ()
    unfinished: Sequence[Trial] = ()
    curves: Mapping[str, Sequence[Observation]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suggestion:
    parameters: tuple[Parameter, ...]
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """`completed`: there will never be more to try, for `reason`. No suggestions without it: not now, ask again later. `note`
    is a sentence that the study shows while it runs."""

    suggestions: tuple[Suggestion, ...]
    completed: bool = False
    reason: str = ""
    note: str = ""


class Algorithm(Protocol):
    """Implementations stand in `katib.suggestion.algorithms` or in other distributions, and are found by their entry point
    in the group `katib.suggestions`. Methods are called from several threads at once."""

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> Options:
        """Every setting it knows; SUGGESTION_NUM and MAX_PARALLEL of `katib.suggestion.room` among them."""

    def check(self, problem: Problem) -> None:
        """Raises InvalidArgumentError for what the table cannot know, fields under STUDY_PATH. What passes is a study that
        `suggest` can do."""

    def history(self, problem: Problem, /) -> History: ...

    def suggest(self, request: Request) -> Reply:
        """At most `request.count` suggestions. Trials are whatever happened to them: failed, killed, without an objective or
        with NaN."""
