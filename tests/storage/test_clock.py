"""The database's clock is set while clients have trials: who lives keeps its trial, and what a dead one had is not kept for the
length of the jump."""

import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event

from katib.domain.lease import DEFAULT_LEASE, MAX_LEASE
from katib.manager.changes import Giving
from katib.manager.ports import ManagerRecord
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql.clock import DatabaseClock
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.engine import make_engine, parse_url
from katib.manager.storage.sql.storage import SqlStorage
from tests.e2e.harness import until
from tests.storage import servers
from tests.storage.builders import NOW, add, ids, make_study, new_trials

HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=1)
SHORT = timedelta(milliseconds=100)


class Clock:
    """Of the database. `set`: by how much it is ahead."""

    def __init__(self):
        self.set = timedelta()

    def julianday(self, _now):
        return 2440587.5 + (time.time() + self.set.total_seconds()) / 86400

    def watch(self, connection, _entry):
        connection.create_function("julianday", 1, self.julianday)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(sqlite_url, clock):
    made = []

    def open_():
        engine = make_engine(parse_url(sqlite_url))
        event.listen(engine, "connect", clock.watch)
        made.append(SqlStorage(Database(engine, "test")))
        return made[-1]

    yield open_
    for storage in made:
        storage.close()


@pytest.fixture
def storage(opened):
    return opened()


def leased(storage, study, lease, client="a"):
    return add(storage, study, client_id=client, running=True, lease=lease)[0]


def hand_out(storage, study, client="b"):
    if not storage.has_trials_for(study.id, client):
        return ()
    return storage.hand_out(study.id, client, 9, LEASE, NOW)


def give(storage, study, client="b"):
    return storage.give_trials(Giving(study.id, client, 9, LEASE, NOW, lambda _study, _n: ())).given


BOTH = pytest.mark.parametrize("ask", [hand_out, give])


@BOTH
def test_a_living_client_keeps_its_trial_when_the_clock_is_set_forward(storage, clock, ask):
    study = storage.create_study(make_study())
    trial = leased(storage, study, LEASE)
    clock.set = HOUR
    assert ask(storage, study) == ()
    after = storage.get_trial(trial.id)
    assert (after.attempt, after.client_id) == (1, "a")
    # Anew for its whole length, by the clock as it is now.
    assert HOUR - LEASE < after.lease_until - trial.lease_until < HOUR + LEASE
    assert replace(after, lease_until=trial.lease_until) == trial


@BOTH
def test_a_dead_client_s_trial_is_handed_on_after_one_more_lease_when_the_clock_is_set_forward(storage, clock, ask):
    study = storage.create_study(make_study())
    over = leased(storage, study, timedelta(milliseconds=1), "dead already")
    time.sleep(0.02)
    trial = leased(storage, study, SHORT)
    clock.set = HOUR
    # What was over before is over.
    assert ids(ask(storage, study)) == [over.id]
    assert ids(until(lambda: ask(storage, study, "c"))) == [trial.id]


@BOTH
def test_a_dead_client_s_trial_is_handed_on_after_its_lease_when_the_clock_is_set_back(storage, clock, ask):
    study = storage.create_study(make_study())
    trial = leased(storage, study, SHORT)
    clock.set = -HOUR
    assert ask(storage, study) == ()
    assert ids(until(lambda: ask(storage, study))) == [trial.id]


@BOTH
def test_a_lease_from_before_the_clock_was_set_back_is_cut_by_a_manager_that_starts_later(storage, opened, clock, ask):
    study = storage.create_study(make_study())
    trial = leased(storage, study, SHORT)
    clock.set = -HOUR
    other = opened()
    assert ask(other, study) == ()
    assert ids(until(lambda: ask(other, study))) == [trial.id]


def test_a_manager_that_has_only_looked_at_the_others_has_seen_the_clock_being_set(storage, opened, clock):
    study = storage.create_study(make_study())
    trial = leased(storage, study, LEASE)
    other = opened()
    other.heartbeat(ManagerRecord("other", "host", "1"))
    assert not other.has_trials_for(study.id, "b")
    other.managers()
    clock.set = HOUR
    other.managers()
    assert other.has_trials_for(study.id, "b")
    assert hand_out(other, study) == ()
    assert storage.get_trial(trial.id).lease_until > trial.lease_until + LEASE


def test_a_lease_is_not_renewed_by_a_clock_that_goes_on(storage, clock):
    study = storage.create_study(make_study())
    trial = leased(storage, study, LEASE)
    for i in range(3):
        assert hand_out(storage, study, f"c{i}") == ()
        assert give(storage, study, f"d{i}") == ()
    assert storage.get_trial(trial.id) == trial
    assert storage.report(trial.id, 0, []).lease_until > trial.lease_until
    assert not storage.has_trials_for("a" * 16, "c")


def test_trials_are_given_on_while_the_clock_is_set_to_and_fro(storage, clock):
    study = storage.create_study(make_study())
    given = []
    for i in range(6):
        clock.set = HOUR * (i % 2)
        asked = Giving(study.id, f"c{i}", 1, DEFAULT_LEASE, NOW, lambda _study, n: new_trials(n))
        given += storage.give_trials(asked).given
    assert [t.number for t in given] == [1, 2, 3, 4, 5, 6]


def test_a_lease_given_since_the_clock_was_set_is_not_renewed_by_a_manager_that_serves_its_study_later(
    storage, opened, clock
):
    study = storage.create_study(make_study())
    before = leased(storage, study, LEASE, "before")
    other = opened()
    other.heartbeat(ManagerRecord("other", "host", "1"))
    other.managers()
    clock.set = HOUR
    other.managers()
    assert other.database.clock.times_set == 1
    since = leased(storage, study, LEASE, "since")
    assert hand_out(other, study) == ()
    assert storage.get_trial(since.id) == since
    assert storage.get_trial(before.id).lease_until > before.lease_until + LEASE


def ends_in(moment, trial):
    return abs(trial.lease_until.timestamp() - moment - LEASE.total_seconds()) < 1


@pytest.mark.parametrize("kind", servers.KINDS)
def test_on_a_server_too_leases_begin_anew_when_its_clock_is_set(request, kind):
    with closing(open_storage(request.getfixturevalue(f"{kind}_url"))) as storage:

        def at(seconds):
            with storage.database._writer._connection.cursor() as cursor:
                cursor.execute(f"SET timestamp = {seconds:.6f}")

        study = storage.create_study(make_study())
        trial = leased(storage, study, LEASE)
        for set_by in (HOUR, -HOUR):
            moment = time.time() + set_by.total_seconds()
            at(moment)
            # The writer reads the time once a second only, while nobody else writes.
            until(lambda m=moment: give(storage, study) == () and ends_in(m, storage.get_trial(trial.id)))
            after = storage.get_trial(trial.id)
            assert replace(after, lease_until=trial.lease_until) == trial


class Steady:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_slow_answer_is_no_clock_that_was_set():
    steady = Steady()
    clock = DatabaseClock(steady)
    for asked, at, now in (
        (100, 1100, 100),
        (200, 1290, 290),
        (300, 1300.5, 300.6),
        (400, 1400.9, 401),
        (500, 1500, 590),
    ):
        steady.now = now
        clock.saw(int(at * 1e6), asked)
    assert clock.times_set == 0
    steady.now = 600
    clock.saw(1_603_000_000, 600)
    assert (clock.times_set, clock.is_due("a")) == (1, True)
    # As late as it would be, and by how much an answer may have been late.
    assert 1_599_000_000 <= clock.mending("a").alive_after <= 1_600_000_000
    clock.mended("a", 1)
    assert (clock.mending("a").alive_after, clock.is_due("a"), clock.is_due("b")) == (None, False, True)
    steady.now = 601
    clock.saw(1_001_000_000, 601)
    assert (clock.mending("a").alive_after, clock.is_due("a")) == (1_001_000_000, True)


class Nodes:
    """Two nodes that answer in turn, the second one ahead by 5 s."""

    def __init__(self):
        self.steady = Steady()
        self.clock = DatabaseClock(self.steady)

    def read(self, ahead, after=1):
        self.steady.now += after
        self.clock.saw(int((self.steady.now + ahead) * 1e6), self.steady.now)

    def take_turns(self, times):
        for i in range(times):
            self.read(ahead=5 * (i % 2))


def test_nodes_whose_clocks_differ_renew_no_lease_for_ever(caplog):
    nodes = Nodes()
    nodes.take_turns(1000)
    clock = nodes.clock
    assert clock.times_set < 10
    assert clock.mending("a") == (clock.times_set, None, 0)
    (record,) = caplog.records
    assert "by 5.0 s; synchronise the clocks of its nodes" in record.getMessage()


def test_a_clock_that_was_calm_for_a_while_is_believed_again():
    nodes = Nodes()
    nodes.take_turns(1000)
    before = nodes.clock.times_set
    nodes.read(ahead=5)
    nodes.read(ahead=500, after=60)
    assert nodes.clock.times_set == before
    nodes.read(ahead=5, after=601)
    assert nodes.clock.times_set == before + 1
    assert nodes.clock.mending("a").alive_after is not None


def test_a_clock_that_is_set_now_and_then_is_remembered_for_as_long_as_a_lease_may_last_and_no_more_often_than_that():
    nodes = Nodes()
    for i in range(100):
        nodes.read(ahead=500 * (i % 2), after=3600)
    assert (nodes.clock.times_set, len(nodes.clock._sets)) == (99, 64)
    nodes.steady.now += MAX_LEASE.total_seconds() - 3600
    first = nodes.clock.mending("a")
    assert first.alive_after is not None
    nodes.steady.now += 2 * 3600
    assert nodes.clock.mending("a") == (99, None, 0)
    assert len(nodes.clock._sets) == 0


def test_a_study_is_mended_for_the_times_that_were_looked_at_and_no_more():
    nodes = Nodes()
    nodes.read(ahead=0)
    nodes.read(ahead=100)
    mending = nodes.clock.mending("a")
    # Found by another thread, before the study is.
    nodes.read(ahead=200)
    nodes.clock.mended("a", mending.times_set)
    assert nodes.clock.is_due("a")
    again = nodes.clock.mending("a")
    assert (again.times_set, again.alive_after) == (2, int((nodes.steady.now + 100) * 1e6))
