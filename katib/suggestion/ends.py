"""Whether anything ends a study."""

from katib.domain.errors import InvalidArgumentError
from katib.domain.search_space import SearchSpace
from katib.suggestion.base import STUDY_PATH, Problem
from katib.suggestion.room import max_trials


def check_ends(problem: Problem, searched: SearchSpace | None = None) -> None:
    """Raises InvalidArgumentError for a study over infinitely many points that nothing would end.

    `searched`: where the points lie, if not in the whole search space.
    """
    spec = problem.spec
    space = searched or problem.space
    ends = (max_trials(spec, problem.values), spec.limits.max_duration, spec.goal, space.cardinality)
    # A study without an algorithm of its own is driven by its clients, who stop asking when they like.
    if not spec.client_driven and all(end is None for end in ends):
        raise InvalidArgumentError.of(
            f"{STUDY_PATH}.max_trials",
            "",
            "expected max_trials (or the setting SuggestionNum), max_duration or optimization_goal: the search space is "
            "infinite, and nothing else would end the study",
        )
