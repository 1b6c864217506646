"""What a writer takes for known from one transaction to the next is never stale: another one who writes in between is seen."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from katib.domain.errors import AbortedError, FailedPreconditionError, KatibError, ResourceExhaustedError
from katib.domain.study import StudyState
from katib.domain.trial import TrialReason
from katib.manager.changes import Giving, StudyChanges, TrialNote
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import changes, kept, managers, session
from katib.manager.storage.sql.held import About
from tests.e2e.harness import until
from tests.storage import servers
from tests.storage.builders import (
    COMPLETED,
    NOW,
    intake,
    make_study,
    move,
    new_trials,
    observe,
    recount,
)
from tests.storage.test_held import LEASE, Statements, calls, complete, give, report


@pytest.fixture(params=["sqlite", *servers.KINDS])
def two(request):
    """Two that have the same database, as two managers do."""
    url = request.getfixturevalue(f"{request.param}_url")
    with ExitStack() as stack:
        yield [stack.enter_context(closing(open_storage(url))) for _ in range(2)]


@pytest.fixture(autouse=True)
def patient(monkeypatch, request):
    """However slow the machine is, what is assumed is assumed for long enough."""
    if "in_time" not in request.fixturenames:
        monkeypatch.setattr(kept, "_FRESH_S", 60.0)


@pytest.fixture
def in_time():
    """For as long as in earnest."""


class Assumptions:
    """How often the writer of a storage took for known what it was asked about, and was right."""

    def __init__(self, storage):
        self.made = self.right = 0
        kept_ = storage.database._writer._kept
        assume, forget, contest = kept_.assume, kept_.forget, kept_.contest

        def watched(abouts):
            held = assume(abouts)
            self.made += held is not None
            self.right += held is not None
            return held

        def wrong(which, call):
            self.right -= 1
            call(which)

        kept_.assume = watched
        kept_.forget, kept_.contest = (lambda which, call=call: wrong(which, call) for call in (forget, contest))


def loop(storage, trial, value=0.5, client="c"):
    """Ends the client's trial and gives it the next one."""
    giving = Giving(trial.study_id, client, 1, LEASE, NOW, lambda _study, n: new_trials(n))

    def decide(_study, now):
        if now.state.finished:
            return None
        return StudyChanges(intakes=(intake(now, observe(value)),), moves=(move(now, COMPLETED),))

    return storage.apply_to(trial.id, decide, give=giving)


def begin(storage, client="c", **fields):
    """A study and the client's first trial, after which the writer knows both."""
    study = storage.create_study(make_study(**fields))
    (trial,) = give(storage, study, client)()
    return study, trial


def test_a_client_that_goes_through_its_trials_has_nothing_read_of_them(sqlite_url):
    with closing(open_storage(sqlite_url)) as storage:
        study, trial = begin(storage)
        with Statements(storage) as statements:
            for _ in range(3):
                (trial,) = loop(storage, trial).given
        # Whether it is at the revision that is known.
        assert [s.partition(" \n")[0] for s in statements.of("SELECT", "FROM")] == ["SELECT studies.id"] * 3
        assert len(statements.of("UPDATE", "studies")) == 3
        assert storage.get_study(study.id).completed == 3
        recount(storage, study.id)


def test_calls_of_several_clients_that_come_together_have_nothing_read_either(sqlite_url):
    with closing(open_storage(sqlite_url)) as storage:
        study = storage.create_study(make_study())
        trials = [give(storage, study, f"c{i}")()[0] for i in range(4)]
        with Statements(storage) as statements:
            found = calls(
                storage,
                *(lambda t=t: loop(storage, t, client=t.client_id).given[0] for t in trials[:2]),
                report(storage, trials[2], 0.4),
                complete(storage, trials[3]),
                give(storage, study, "c3"),
            )
        assert [s.partition(" \n")[0] for s in statements.of("SELECT", "FROM")] == ["SELECT studies.id"]
        assert [t.number for t in (found[0], found[1], found[4][0])] == [5, 6, 7]
        assert (found[2].objective, found[3].state) == (0.4, COMPLETED)
        recount(storage, study.id)


def test_two_that_write_to_a_study_in_turns_each_see_what_the_other_did(two):
    one, other = two
    study, trial = begin(one)
    watched = Assumptions(one)
    (second,) = give(other, study, "d")()
    # As it was assumed to be, the study has one trial, and this one's number would be taken.
    (third,) = loop(one, trial).given
    assert (second.number, third.number) == (2, 3)
    assert (watched.made, watched.right) == (1, 0)
    assert [t.number for t in loop(other, second, client="d").given] == [4]
    assert [t.number for t in loop(one, third).given] == [5]
    recount(one, study.id)
    assert one.get_study(study.id).completed == 3


def outcome(function):
    try:
        return function()
    except (KatibError, ValueError) as error:
        return type(error), str(error)


def test_what_would_be_refused_as_it_was_known_is_done_as_it_is(two):
    one, other = two
    study, trial = begin(one)
    complete(one, trial)()
    one.update_study(study.id, lambda s: replace(s, state=StudyState.PAUSED))
    watched = Assumptions(one)
    assert outcome(give(one, study, "c"))[0] is AbortedError
    assert (watched.made, watched.right) == (1, 1)
    other.update_study(study.id, lambda s: replace(s, state=StudyState.RUNNING))
    assert [t.number for t in give(one, study, "c")()] == [2]
    assert (watched.made, watched.right) == (2, 1)
    recount(one, study.id)


def test_a_lease_that_another_manager_made_longer_stays_as_long_when_the_trial_reports(two):
    one, other = two
    study, trial = begin(one)
    give(other, study, "c", lease=2 * LEASE)()
    report(one, trial, 0.5)()
    after = one.get_trial(trial.id)
    assert (after.lease, after.objective) == (2 * LEASE, 0.5)
    assert after.lease_until - trial.lease_until > LEASE / 2


def test_a_lease_that_another_manager_renewed_is_not_cut_by_a_change_of_something_else(two):
    one, other = two
    study, trial = begin(one)
    (renewed,) = give(other, study, "c")()
    assert (renewed.id, renewed.revision) == (trial.id, trial.revision)
    watched = Assumptions(one)
    one.apply_to(trial.id, lambda _s, t: StudyChanges(notes=(TrialNote(t.id, 1, "Waiting", "for a lock"),)))
    after = one.get_trial(trial.id)
    assert (after.message, after.lease_until) == ("for a lock", renewed.lease_until)
    assert (watched.made, watched.right) == (1, 1)


def test_of_several_studies_written_together_only_the_one_that_was_another_is_doubted(two):
    one, other = two
    (study, trial), (quiet, calm) = begin(one), begin(one)
    watched = Assumptions(one)
    give(other, study, "d")()
    found = calls(one, lambda: loop(one, calm), lambda: loop(one, trial))
    assert [a.given[0].number for a in found] == [2, 3]
    assert (watched.made, watched.right) == (1, 0)
    assert [t.number for t in loop(one, found[0].given[0]).given] == [3]
    assert [t.number for t in loop(one, found[1].given[0]).given] == [4]
    # The first of these only.
    assert (watched.made, watched.right) == (2, 1)
    for it in (study, quiet):
        recount(one, it.id)


def test_what_no_packet_holds_is_made_sure_of_before_the_first(two, monkeypatch):
    monkeypatch.setattr(session, "_PACKET", 2000)
    one, other = two
    (study, trial), (quiet, calm) = begin(one), begin(one)
    watched = Assumptions(one)
    values = [observe(0.5) for _ in range(40)]
    found = calls(
        one,
        lambda: loop(one, calm),
        lambda: one.report(trial.id, 0, values),
    )
    assert found[1].objective == 0.5
    assert (watched.made, watched.right) == (1, 1)
    report(other, trial, 0.7)()
    give(other, quiet, "d")()
    found = calls(
        one,
        lambda: one.report(trial.id, 0, [replace(v, position=-v.position) for v in values]),
        lambda: loop(one, found[0].given[0]),
    )
    assert (found[0].objective, found[1].given[0].number) == (0.5, 4)
    assert (watched.made, watched.right) == (2, 1)
    assert one.get_study(study.id).observed == 81
    for it in (study, quiet):
        recount(one, it.id)


def test_one_that_is_refused_after_it_has_read_costs_the_others_nothing(two):
    one, _ = two
    study, trial = begin(one)
    (full,) = give(one, study, "d")()
    report(one, full, 0.1)()
    watched = Assumptions(one)
    done, refused = calls(
        one,
        lambda: loop(one, trial),
        lambda: one.report(full.id, 0, [observe(0.2)], most=1),
    )
    assert isinstance(refused, ResourceExhaustedError)
    assert (done.given[0].number, watched.made, watched.right) == (3, 1, 1)
    recount(one, study.id)


@pytest.mark.parametrize("changes_it", [False, True])
def test_after_a_write_that_knows_nothing_of_the_others_only_what_it_left_alone_is_known(two, changes_it):
    one, other = two
    study, trial = begin(one, manager="gone")
    (second,) = give(one, study, "d")()
    manager = "gone" if changes_it else "another"

    def give_up():
        one.database.write(lambda session: managers.release(session, manager), study.id)

    calls(one, lambda: loop(one, trial), give_up, report(one, second, 0.3))
    watched = Assumptions(one)
    after = complete(one, second)()
    known = int(not changes_it)
    assert (after.objective, watched.made, watched.right) == (0.3, known, known)
    assert one.get_study(study.id).manager == ("" if changes_it else "gone")
    recount(other, study.id)


def test_one_that_fails_after_it_has_written_is_undone_with_what_was_assumed_and_the_others_are_not(two):
    one, _ = two
    study, trial = begin(one)

    def fail():
        def function(session):
            changes.report(session, trial.id, 0, [observe(0.9)], None, 0, None)
            raise AbortedError("no")

        one.database.write_study(function, About(trial_id=trial.id))

    done, failed = calls(one, lambda: loop(one, trial, 0.4), fail)
    assert isinstance(failed, (AbortedError, FailedPreconditionError))
    assert (done.trials[trial.id].objective, done.given[0].number) == (0.4, 2)
    watched = Assumptions(one)
    assert [t.number for t in loop(one, done.given[0]).given] == [3]
    # It was nobody else's doing: nothing is doubted.
    assert [t.number for t in give(one, study, "c")()] == [3]
    assert watched.made > 0
    recount(one, study.id)


def test_a_trial_that_another_manager_handed_on_is_not_the_first_clients_any_more(two):
    one, other = two
    study = one.create_study(make_study())
    (trial,) = give(one, study, "c", lease=timedelta(milliseconds=300))()
    until(lambda: trial.lease_until < datetime.now(UTC))
    (handed,) = give(other, study, "d")()
    assert (handed.id, handed.client_id, handed.attempt) == (trial.id, "d", 2)
    (fresh,) = give(one, study, "c")()
    assert (fresh.number, fresh.client_id) == (2, "c")
    assert one.get_trial(trial.id).client_id == "d"
    recount(one, study.id)


def test_a_lease_that_ends_is_seen_by_those_who_write_all_the_time(two, in_time):
    one, _ = two
    study, trial = begin(one)
    (left,) = give(one, study, "gone", lease=timedelta(milliseconds=100))()
    watched = Assumptions(one)
    got = []

    def ask():
        nonlocal trial
        (trial,) = loop(one, trial).given
        got.append(trial)
        return trial.id == left.id

    until(ask)
    assert (trial.attempt, trial.client_id, trial.reason) == (2, "c", TrialReason.LEASE_EXPIRED)
    assert watched.right > 0
    recount(one, study.id)


def test_of_many_threads_at_two_managers_each_trial_is_somebodys_alone(two, monkeypatch):
    # Wrong all the time: each is undone and done again.
    monkeypatch.setattr(kept, "_CONTESTED_S", 0.0)
    study = two[0].create_study(make_study())
    watched = [Assumptions(storage) for storage in two]
    seen, lock = [], threading.Lock()

    def work(i):
        storage, client = two[i % 2], f"c{i}"
        (trial,) = give(storage, study, client)()
        for _ in range(12):
            with lock:
                seen.append(trial.id)
            (trial,) = loop(storage, trial, client=client).given
        complete(storage, trial)()
        with lock:
            seen.append(trial.id)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    # Those that are left have the study for themselves.
    work(0)
    assert len(set(seen)) == len(seen) == 7 * 13
    after = two[0].get_study(study.id)
    assert (after.completed, after.running, after.suggested) == (91, 0, 91)
    recount(two[0], study.id)
    assert watched[0].right > 0


def test_a_manager_that_stood_still_in_a_write_gives_leases_from_when_it_goes_on(two, monkeypatch):
    one, _ = two
    _, trial = begin(one)
    monkeypatch.setattr(kept, "_FRESH_S", 0.5)
    watched = Assumptions(one)
    stood = []

    def stand_still(_study, n):
        if not stood:
            stood.append(time.sleep(0.6))
        return new_trials(n)

    giving = Giving(trial.study_id, "c", 1, LEASE, NOW, stand_still)
    (given,) = one.apply_to(trial.id, lambda _s, t: StudyChanges(moves=(move(t, COMPLETED),)), give=giving).given
    assert given.lease_until - trial.lease_until > timedelta(seconds=0.5)
    assert (watched.made, watched.right) == (1, 0)


def test_a_connection_that_was_lost_takes_what_was_known_with_it(sqlite_url):
    with closing(open_storage(sqlite_url)) as storage:
        study, trial = begin(storage)
        storage.database._writer._drop()
        watched = Assumptions(storage)
        assert [t.number for t in loop(storage, trial).given] == [2]
        assert watched.made == 0
        recount(storage, study.id)
