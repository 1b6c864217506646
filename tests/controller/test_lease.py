"""For how long a manager may act, by its own clock."""

import pytest

from katib.domain.errors import UnavailableError
from katib.manager.controller.lease import Lease


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock: Clock) -> Lease:
    return Lease(4.0, clock)


def told() -> None:
    """The others, at once."""


def test_a_lease_renewed_in_time_is_the_same_term_and_one_that_lapsed_another(lease: Lease, clock: Clock) -> None:
    assert lease.term() is None
    lease.renew(told)
    first = lease.term()
    assert first is not None
    clock.pass_(2.9)
    lease.renew(told)
    assert lease.term() == first
    clock.pass_(3.0)
    assert lease.term() is None
    lease.renew(told)
    assert lease.term() not in (None, first)


def test_a_renewal_that_arrived_when_the_lease_was_over_begins_a_new_term(lease: Lease, clock: Clock) -> None:
    lease.renew(told)
    first = lease.term()
    clock.pass_(2.0)
    # Begun in time, and good for a second still; but nobody knows when it was written.
    lease.renew(lambda: clock.pass_(2.0))
    assert lease.term() not in (None, first)


def test_a_lease_counts_from_before_it_was_written(lease: Lease, clock: Clock) -> None:
    lease.renew(lambda: clock.pass_(3.5))
    assert lease.term() is None


def test_a_renewal_that_failed_leaves_the_lease_as_it_was(lease: Lease, clock: Clock) -> None:
    lease.renew(told)
    first = lease.term()
    clock.pass_(2.0)

    def away() -> None:
        raise UnavailableError("the database is away")

    with pytest.raises(UnavailableError):
        lease.renew(away)
    assert lease.term() == first
    clock.pass_(1.0)
    assert lease.term() is None


def test_a_lease_that_is_given_up_is_not_renewed(lease: Lease) -> None:
    lease.renew(told)
    lease.give_up()
    assert lease.term() is None
    lease.renew(told)
    assert lease.term() is None
