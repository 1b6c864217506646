"""Clocks that differ: of the manager's machine, of the API server, and of nodes."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from katib.worker.base import RunPhase
from katib.worker.kubernetes.clock import Clock, reckoned
from katib.worker.kubernetes.diagnosis import Diagnosis, diagnose_pod
from katib.worker.kubernetes.marks import own_labels
from katib.worker.kubernetes.policy import Waits
from katib.worker.kubernetes.runs import Runs
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, QUICK, SPEC
from tests.worker.kubernetes.statuses import PULLING, WORKING, at, container, pod, running, stamp, waiting

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
WHEN = [HOUR, -HOUR]


class Times:
    """Of a machine, whose clock may be set, and for how long it has been on."""

    def __init__(self) -> None:
        self.wall = BEGIN
        self.steady = 0.0

    def pass_(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def clock(times: Times) -> Clock:
    return Clock(lambda: times.wall, lambda: times.steady)


def say(clock: Clock, moment: datetime) -> None:
    clock.heard(format_datetime(moment, usegmt=True))


@pytest.mark.parametrize("off", WHEN)
def test_it_is_the_api_servers_time_and_goes_on_between_its_answers(times: Times, clock: Clock, off: timedelta) -> None:
    say(clock, BEGIN + off)
    times.pass_(60)
    assert clock.now() == BEGIN + off + timedelta(seconds=60)
    assert clock.ahead == off


def test_a_clock_that_is_set_here_changes_nothing(times: Times, clock: Clock) -> None:
    say(clock, BEGIN)
    times.wall += HOUR
    assert clock.now() == BEGIN
    assert clock.ahead == -HOUR


@pytest.mark.parametrize("date", [None, "", "yesterday", format_datetime(BEGIN + 4 * SECOND), "0"])
def test_whole_seconds_and_what_is_no_time_are_no_difference(clock: Clock, date: str | None) -> None:
    clock.heard(date)
    assert (clock.now(), clock.ahead) == (BEGIN, timedelta())


def test_clocks_that_differ_much_are_told_of_once_an_hour(times: Times, clock: Clock, caplog) -> None:
    for _ in range(5):
        say(clock, BEGIN + HOUR)
        say(clock, BEGIN - HOUR)
    (message,) = caplog.messages
    assert message.startswith("the clock of the Kubernetes API server is 3600 s ahead of this machine's")


@pytest.fixture
def skewed(node, new_worker):
    """A function that gives a driver whose machine's clock is so far ahead of the API server's."""

    def make(off: timedelta) -> Driver:
        wrong = Clock(lambda: datetime.now(UTC) + off)
        return Driver(new_worker(fence_s=0.5, reflector_options=QUICK, clock=wrong), SPEC, DEADLINE_S)

    return make


def test_a_manager_whose_clock_is_an_hour_ahead_ends_no_pod_that_has_just_begun_to_wait(node, skewed) -> None:
    node.full = True
    driver = skewed(HOUR)
    name = driver.start("true")
    driver.worker._rounds._round()
    assert driver.status(name).phase is RunPhase.WAITING


@pytest.mark.parametrize("off", WHEN)
def test_when_a_run_began_and_ended_is_told_by_the_managers_clock(skewed, off: timedelta) -> None:
    driver = skewed(off)
    name = driver.start("sh", "-c", "echo x=1; sleep 0.5")
    status = driver.ended(name)
    wrong = datetime.now(UTC) + off
    assert abs(status.started_at - wrong) < timedelta(minutes=1)
    assert abs(status.ended_at - wrong) < timedelta(minutes=1)


@pytest.mark.parametrize("off", WHEN)
def test_a_program_began_when_its_pod_was_seen_to_whatever_its_nodes_clock_says(off: timedelta) -> None:
    seen: dict[str, datetime] = {}
    reckoned(Diagnosis(RunPhase.WAITING), BEGIN, seen)
    runs = Diagnosis(RunPhase.RUNNING, started_at=BEGIN + SECOND + off)
    found = reckoned(runs, BEGIN + 2 * SECOND, seen)
    assert found.started_at == BEGIN + (2 * SECOND if off > timedelta() else timedelta())
    # Later looks do not move it.
    assert reckoned(runs, BEGIN + HOUR / 2, seen).started_at == found.started_at
    over = Diagnosis(RunPhase.FAILED, started_at=runs.started_at, ended_at=BEGIN + HOUR / 2 + off)
    ended = reckoned(over, BEGIN + HOUR / 2, seen).ended_at
    assert found.started_at <= ended <= BEGIN + HOUR / 2
    assert BEGIN + HOUR / 2 - ended <= 2 * SECOND


def test_times_that_can_be_are_kept_to_the_second() -> None:
    seen: dict[str, datetime] = {}
    reckoned(Diagnosis(RunPhase.WAITING), BEGIN + SECOND / 2, seen)
    found = Diagnosis(RunPhase.SUCCEEDED, started_at=BEGIN, ended_at=BEGIN + 3 * SECOND)
    assert reckoned(found, BEGIN + 2 * SECOND, seen) == found


def test_a_manager_that_has_not_seen_a_pod_wait_reckons_from_when_it_was_sent_to_its_node() -> None:
    """As one that was started again: by a node's clock that is an hour behind, a trial_timeout would be over at once."""
    found = pod("Running", container(running(5)), conditions=WORKING)
    found["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = stamp(5 - 3600)
    runs = Runs(Waits(), lambda _: None, lambda: at(60))
    found["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    found["metadata"]["labels"] = own_labels("s0123456789abcde", "a0123456789abcde-1", "katib")
    run = runs.put(found)
    assert run is not None
    assert run.diagnosis.started_at == at(1)


def test_while_the_api_server_says_no_time_it_is_this_machines(times: Times, clock: Clock) -> None:
    """It may be set, or have been asleep, for which no other clock stands."""
    clock.heard(None)
    times.wall += HOUR
    assert (clock.now(), clock.ahead) == (BEGIN + HOUR, timedelta())


@pytest.mark.parametrize("start", ["2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z"], ids=["behind", "ahead"])
def test_a_wait_on_a_node_whose_clock_is_wrong_counts_from_when_it_was_sent_there(start: str) -> None:
    found = pod("Pending", container(waiting("ContainerCreating")), conditions=PULLING)
    found["status"]["startTime"] = start
    diagnosis = diagnose_pod(found, at(60), Waits())
    assert (diagnosis.phase, diagnosis.hopeless) == (RunPhase.WAITING, False)
    assert diagnosis.look_again == at(1) + Waits().start
