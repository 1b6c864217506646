"""The small lines of the list of studies, over many trials."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from katib.api.client import ManagerClient
from katib.dashboard import best_lines
from katib.dashboard.best_lines import BestLines
from katib.domain.study import Objective
from katib.domain.trial import TrialState

TRIALS = 20_000
PAGE = 500
SPEC = SimpleNamespace(optimization=Objective.MAXIMIZE, parameters=())
CLIENT = cast(ManagerClient, SimpleNamespace(get_study=lambda _: SimpleNamespace(spec=SPEC)))


def better_and_better(_client: object, _study_id: str, after: int, _parameters: int) -> Iterator[Any]:
    """A page of trials each of which is better than all before."""
    numbers = range(after + 1, after + PAGE + 1)
    trials = SimpleNamespace(
        numbers=numbers, states=[TrialState.COMPLETED] * PAGE, objectives=[float(number) for number in numbers]
    )
    yield SimpleNamespace(trials=trials, revision=after + PAGE, more=False)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> BestLines:
    monkeypatch.setattr(best_lines, "changes_of", better_and_better)
    return BestLines()


def test_where_each_trial_is_the_best_so_far_not_every_one_is_kept_and_the_line_is_the_same(lines: BestLines) -> None:
    for _ in range(TRIALS // PAGE):
        line = lines.of(CLIENT, "s")
    assert line is not None
    values = cast(list[float], line)
    assert (len(values), values[0], values[-1]) == (200, 1, TRIALS)
    # As near to the straight line as can be seen.
    off = [abs(value - (1 + i * (TRIALS - 1) / 199)) for i, value in enumerate(values)]
    assert max(off) < TRIALS / 100
    assert len(lines._known["s"].steps) <= 400


def test_of_many_long_lines_the_oldest_are_let_go(lines: BestLines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_lines, "_ALL_STEPS", 600)
    for study_id in ["a", "b", "c", "d", "c"]:
        lines.of(CLIENT, study_id)
    assert list(lines._known) == ["d", "c"]
    assert lines._steps == sum(len(line.steps) for line in lines._known.values()) <= 600
