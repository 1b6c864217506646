"""What each caller may have: the table that begins `katib/api/shares.py`, row by row."""

import pytest

from katib.api.callers import Account, Asker, Job
from katib.api.shares import Shares

THREADS = 24
NOW = 100.0
ANN = Asker("ann", "ann", "ann")
TRIAL = Asker("trial", "trial", "trial", trial=True)
OTHERS = [Asker(name, name, name) for name in ("bob", "cy", "dee")]


def standing(who: str, *, asker: Asker = ANN) -> tuple[Shares, Account]:
    """A caller that stands so, in the words of the table."""
    shares = Shares(THREADS)
    if "beside others" in who:
        for other in OTHERS:
            shares.see(other, NOW)
    caller = shares.see(asker, NOW)
    if "long calls" in who:
        caller.cost = 0.02
    if "crowd" in who or "a flood" in who:
        caller.queue.extend(Job(print, ()) for _ in range(70))
    if "flood" in who:
        shares.flooded(caller, NOW)
    return shares, caller


def in_hand(shares: Shares, caller: Account, *, waits: bool, now: float = NOW) -> int:
    """How many of its calls are begun, of such as wait for a service or of such as compute."""
    while shares.may_begin(caller, now):
        caller.running += 1
        caller.waiting += waits
    return caller.running


@pytest.mark.parametrize(
    ("who", "at_work", "threads"),
    [
        ("alone", 16, 16),
        ("beside others", 6, 6),
        ("alone, with long calls", 2, 5),
        ("beside others, with long calls", 1, 4),
        ("beside others, a crowd", 1, 4),
        ("beside others, a flood", 1, 4),
    ],
)
def test_so_many_calls_of_a_caller_are_in_hand(who: str, at_work: int, threads: int) -> None:
    assert in_hand(*standing(who), waits=False) == at_work
    assert in_hand(*standing(who), waits=True) == threads


@pytest.mark.parametrize(("waits", "most"), [(False, 2), (True, 5)])
def test_who_floods_and_is_alone_at_last_has_few_calls_in_hand_too(waits: bool, most: int) -> None:
    shares, caller = standing("a flood")
    later = NOW + 3
    shares.see(ANN, later)
    shares.flooded(caller, later)
    assert in_hand(shares, caller, waits=waits, now=later) == most


def pause(who: str, cost: float, *, asker: Asker = ANN, others_at_work: bool = False) -> float:
    """After a call of so much, beside others that computed for most of the second before or not."""
    shares, caller = standing(who, asker=asker)
    if others_at_work:
        for other in OTHERS:
            shares.took(shares.see(other, NOW), 0.3, NOW)
    # What it may have at once is behind it.
    caller.paid_until = NOW + 60
    shares.see(asker, NOW + 0.9)
    shares.took(caller, cost, NOW + 0.9)
    return max(caller.not_before - NOW - 0.9, 0.0)


@pytest.mark.parametrize(
    ("who", "others_at_work", "share"),
    [
        ("beside others, with long calls", True, 0.1),
        ("beside others, a crowd", True, 0.05),
        ("beside others, a crowd", False, 0.05),
        ("beside others, a flood", True, 0.02),
    ],
)
def test_it_pauses_until_what_it_takes_is_so_much_of_the_processor(
    who: str, others_at_work: bool, share: float
) -> None:
    cost = 0.05
    assert cost / (cost + pause(who, cost, others_at_work=others_at_work)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("who", "cost", "others_at_work"),
    [
        ("alone", 0.05, False),
        ("alone, a crowd", 0.05, False),
        ("beside others", 0.005, True),
        ("beside others, with long calls", 0.05, False),
    ],
)
def test_who_keeps_nobody_from_the_processor_makes_no_pause(who: str, cost: float, others_at_work: bool) -> None:
    assert pause(who, cost, others_at_work=others_at_work) == 0.0


def test_a_trial_is_no_crowd_and_does_not_flood() -> None:
    assert in_hand(*standing("beside others, a flood", asker=TRIAL), waits=False) == 6
    assert pause("beside others, a flood", 0.005, asker=TRIAL, others_at_work=True) == 0.0
