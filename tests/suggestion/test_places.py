"""Which points are left: told by values, for any number of trials, and of no trial for longer than there is one."""

import gc
from collections.abc import Sequence
from dataclasses import replace

import pytest

from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType, SearchSpace
from katib.domain.trial import Trial
from katib.suggestion.algorithms.random import RandomSearch
from katib.suggestion.places import Places
from tests.suggestion.studies import FINITE, MiniManager, study

GRID = [
    ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("-1", "1")),
    ParameterConfig("n", ParameterType.INT, FeasibleSpace("1", "9")),
]


@pytest.fixture
def trials() -> list[Trial]:
    manager = MiniManager(RandomSearch(), study(FINITE, ("MaxParallel", 0)))
    manager.ask()
    manager.finish()
    return manager.trials


def point(x: str, n: str) -> Sequence[Parameter]:
    return Parameter("n", ParameterType.INT, n), Parameter("x", ParameterType.DOUBLE, x)


@pytest.mark.parametrize(("x", "n"), [("0.5", "3"), ("5e-1", "3.0"), ("+0.50", "03")])
def test_a_place_is_the_values_however_they_are_written(trials: list[Trial], x: str, n: str) -> None:
    places = Places(SearchSpace.of(GRID))
    (taken,) = places.taken([replace(trials[0], parameters=tuple(point("0.5", "3")))])
    assert places.of_point(0, lambda _: point(x, n)) == taken


def test_zero_has_one_place(trials: list[Trial]) -> None:
    space = SearchSpace.of([replace(GRID[0], feasible=FeasibleSpace("0", "1"))])
    places = Places(space)
    negative, positive = (
        replace(trials[0], parameters=(Parameter("x", ParameterType.DOUBLE, text),)) for text in ("-0.0", "0.0")
    )
    assert places.taken([negative]) == places.taken([positive])


def test_a_trial_of_another_space_takes_nobody_s_place(trials: list[Trial]) -> None:
    places = Places(SearchSpace.of(GRID))
    taken = places.taken([replace(trials[0], parameters=tuple(point("7", "3"))), replace(trials[0], parameters=())])
    assert places.of_point(0, lambda _: point("1", "3")) not in taken


def test_what_is_taken_is_what_these_trials_took_and_no_others(trials: list[Trial]) -> None:
    places = Places(SearchSpace.of(FINITE))
    assert len(places.taken(trials)) == len(trials)
    some = places.taken(trials[:3])
    assert len(some) == 3
    # The same trial as it was read anew.
    assert places.taken([replace(t) for t in trials[:3]]) == some


def test_no_trial_is_kept_for_longer_than_somebody_else_keeps_it(trials: list[Trial]) -> None:
    places = Places(SearchSpace.of(FINITE))
    places.taken(trials)
    assert len(places._of_trials) == len(places._trials) == len(trials)
    del trials[4:]
    gc.collect()
    assert len(places._of_trials) == len(places._trials) == 4
