import pytest

from katib.domain.backoff import backoff, by_chance, doubled


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.2), (2, 0.4), (3, 0.8), (6, 6.4), (7, 10.0), (10**9, 10.0)])
def test_a_wait_doubles_with_each_failure_up_to_the_longest(failures: int, seconds: float) -> None:
    assert doubled(failures, 0.2, 10.0) == pytest.approx(seconds)


def test_waits_that_begin_together_end_apart_and_in_time() -> None:
    found = {backoff(3, 0.2, 10.0) for _ in range(100)}
    assert len(found) > 50
    assert all(0.4 <= seconds <= 0.8 for seconds in found)
    assert all(0.75 <= by_chance(1.0, 0.75, 1.5) <= 1.5 for _ in range(100))
