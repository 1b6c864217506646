"""A client of several managers, of which one says nothing, ends, or is watched when it goes."""

import time
from collections.abc import Callable
from threading import Event

import pytest

from katib.api.client import ManagerClient
from katib.cli.patience import Patience
from katib.cli.watch import events
from katib.domain.errors import DeadlineExceededError, UnavailableError
from katib.domain.study import StudyState
from katib.domain.views import StudyEvent
from tests.api.failover import EACH, REPEATABLE, A, Pair, in_the_middle, pair
from tests.cli.scripted import study

__all__ = ["pair"]


@pytest.mark.long
@REPEATABLE
def test_a_manager_that_says_nothing_more_is_left_long_before_the_time_out(
    call: Callable[[ManagerClient], object], pair: Pair
) -> None:
    began = time.monotonic()
    in_the_middle(pair, call, pair.line.fall_silent)
    assert time.monotonic() - began < 20
    assert (pair.first.asked, pair.second.asked) == (1, 1)


@pytest.mark.long
@EACH
def test_a_manager_that_says_nothing_from_the_first_is_left(
    call: Callable[[ManagerClient], object], pair: Pair
) -> None:
    pair.line.fall_silent()
    began = time.monotonic()
    with pair.client() as client:
        call(client)
    # gRPC waits one and a quarter seconds for the other side's greeting.
    assert time.monotonic() - began < 10
    assert (pair.first.asked, pair.second.asked) == (0, 1)


@pytest.mark.long
def test_a_manager_that_is_slow_leaves_time_for_the_next(pair: Pair) -> None:
    pair.first.gate.clear()
    with pair.client(timeout=6) as client:
        client.get_study(A)
    assert (pair.first.asked, pair.second.asked) == (1, 1)


@pytest.mark.long
def test_the_time_out_holds_for_all_addresses_together(pair: Pair) -> None:
    pair.first.gate.clear()
    pair.second.gate.clear()
    with pair.client(timeout=3) as client:
        began = time.monotonic()
        with pytest.raises((DeadlineExceededError, UnavailableError)):
            client.get_study(A)
        assert 2 < time.monotonic() - began < 8


@pytest.mark.long
def test_watching_goes_on_at_the_next_manager_where_it_was(pair: Pair) -> None:
    cut = Event()
    pair.first.watches = [[StudyEvent(study(A), [], 5), cut]]
    end = StudyEvent(study(A, state=StudyState.COMPLETED), [], 7)
    pair.second.watches = [[end]]
    said: list[str] = []
    with pair.client() as client:
        seen = []
        for event in events(client, A, Patience(said.append)):
            seen.append(event.revision)
            if event.revision == 5:
                pair.line.cut()
    cut.set()
    assert seen == [5, 7]
    assert [call.after_revision for call in pair.second.calls] == [5]
    assert said == [
        f"Connection lost (the connection to the manager at {pair.line.address} was lost); trying again for 10 minutes."
    ]


@pytest.mark.long
@pytest.mark.parametrize("end", ["stops", "falls silent"])
def test_watching_leaves_a_manager_that(end: str, pair: Pair) -> None:
    never = Event()
    pair.first.watches = [[StudyEvent(study(A), [], 5), *([never] if end == "falls silent" else [])]]
    pair.second.watches = [[StudyEvent(study(A, state=StudyState.COMPLETED), [], 7)]]
    with pair.client() as client:
        seen = []
        for event in events(client, A, Patience(lambda _: None)):
            seen.append(event.revision)
            if end == "falls silent":
                pair.line.fall_silent()
    never.set()
    assert seen == [5, 7]
