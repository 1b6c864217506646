"""What a database does that several storages share, as several managers do: a fixture `url` names an empty one."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from katib.domain.errors import AbortedError, AlreadyExistsError, NotFoundError, UnavailableError
from katib.domain.names import new_id
from katib.manager.changes import StudyChanges
from katib.manager.ports import ManagerRecord, StudyFilter, TrialFilter
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import deletion
from tests.e2e.harness import until
from tests.storage.builders import (
    COMPLETED,
    NOW,
    RUNNING,
    add,
    completed,
    go,
    ids,
    make_study,
    move,
    new_trials,
    observe,
    recount,
    running,
)
from tests.storage.execute import execute

ROOT = Path(__file__).parents[3]


def race(*calls):
    """The results of calls that begin at the same time in threads of their own; an AbortedError is a result."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait(10)
        try:
            return call()
        except AbortedError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


class SharedDatabaseContract:
    @pytest.fixture
    def open_another(self, url):
        opened = []

        def open_():
            opened.append(open_storage(url))
            return opened[-1]

        yield open_
        for storage in opened:
            storage.close()

    @pytest.fixture
    def a(self, open_another):
        return open_another()

    @pytest.fixture
    def b(self, open_another):
        return open_another()

    def test_of_two_that_add_trials_on_top_of_the_same_count_exactly_one_wins(self, a, b):
        study = a.create_study(make_study())
        for _ in range(15):
            suggested = a.get_study(study.id).suggested
            results = race(
                *(lambda s=s, n=suggested: s.add_trials(study.id, n, new_trials(2), NOW) for s in (a, b, a, b))
            )
            won = [result for result in results if not isinstance(result, AbortedError)]
            assert len(won) == 1
            assert [t.number for t in won[0]] == [suggested + 1, suggested + 2]
        recount(a, study.id)
        assert b.get_study(study.id).suggested == 30

    def test_of_two_that_move_the_same_trial_exactly_one_wins(self, a, b):
        study = a.create_study(make_study())
        trials = add(a, study, 40)
        # In opposite orders, one trial to a call and all in one.
        forth = StudyChanges(moves=tuple(move(t, RUNNING, run="a") for t in trials))
        back = [StudyChanges(moves=(move(t, RUNNING, run="b"),)) for t in reversed(trials)]
        first, second = race(lambda: [a.apply(study.id, forth)], lambda: [b.apply(study.id, one) for one in back])
        winners = [applied.trials.keys() for applied in (*first, *second)]
        assert sorted(trial_id for won in winners for trial_id in won) == sorted(ids(trials))
        for trial in trials:
            assert a.get_trial(trial.id).run == ("a" if trial.id in first[0].trials else "b")
        recount(b, study.id)
        assert b.get_study(study.id).running == 40

    def test_the_best_trial_is_right_whoever_completes_it(self, a, b):
        study = a.create_study(make_study())
        trials = running(a, study, 30)

        def complete(storage, mine):
            for trial in mine:
                storage.report(trial.id, 0, [observe(trial.number / 100)])
                go(storage, trial, to=COMPLETED)

        race(*(lambda s=s, m=trials[i::4]: complete(s, m) for i, s in enumerate((a, b, a, b))))
        after = a.get_study(study.id)
        assert (after.best_trial_id, after.best_objective) == (trials[-1].id, 0.3)
        recount(a, study.id)

    def test_a_request_that_comes_many_times_at_once_is_one_study(self, a, b):
        for i in range(5):
            results = race(*(lambda s=s, i=i: s.create_study(make_study(request_id=f"r{i}")) for s in (a, b, a, b, b)))
            assert len({study.id for study in results}) == 1
        assert len(a.list_studies(StudyFilter(), 100, "").items) == 5

    def test_each_study_is_claimed_by_one_manager(self, a, b):
        every = {a.create_study(make_study()).id for _ in range(30)}
        for name in ("m1", "m2"):
            a.heartbeat(ManagerRecord(name, "host", "1"))

        def claim(storage, name):
            claimed = []
            while some := storage.claim_studies(name, "", (), 4):
                claimed += some
            return claimed

        first, second = race(lambda: claim(a, "m1"), lambda: claim(b, "m2"))
        assert sorted([*first, *second]) == sorted(every)
        assert set(b.driven_studies("m1")) == set(first)
        assert set(a.driven_studies("m2")) == set(second)

    def test_when_the_databases_clock_was_set_back_a_dead_manager_does_not_look_alive(self, a, url):
        for name in ("alive", "dead"):
            a.heartbeat(ManagerRecord(name, "h", "1"))
        # As though the clock had been an hour ahead of what it is now.
        execute(url, "UPDATE managers SET heartbeat_at = heartbeat_at + 3600000000")
        a.heartbeat(ManagerRecord("alive", "h", "1"))
        ages = {manager.id: manager.age for manager in a.managers()}
        assert ages["dead"] > timedelta(minutes=50)
        assert timedelta(0) <= ages["alive"] < timedelta(minutes=1)

    def test_reports_from_everywhere_are_all_there_once(self, a, b):
        study = a.create_study(make_study())
        (trial,) = running(a, study)
        seen = [observe(i, position=i) for i in range(60)]

        def report(storage, mine):
            for o in mine:
                storage.report(trial.id, 0, [o])

        race(*(lambda s=s, m=seen[10 * i : 10 * i + 30]: report(s, m) for i, s in enumerate((a, b, a, b))))
        found = a.list_observations(trial.id, 0, (), 100, "").items
        assert sorted(o.position for o in found) == list(range(60))

    def test_updates_from_everywhere_all_take_place(self, a, b):
        study = a.create_study(make_study(message="0"))

        def count(storage):
            for _ in range(15):
                storage.update_study(study.id, lambda s: replace(s, message=str(int(s.message) + 1)))

        race(*(lambda s=s: count(s) for s in (a, b, a)))
        after = b.get_study(study.id)
        assert (after.message, after.revision) == ("45", study.revision + 45)

    def test_what_one_has_stored_the_other_sees_at_once(self, a, b):
        study = a.create_study(make_study())
        (trial,) = add(b, study)
        assert a.get_trial(trial.id) == trial
        a.delete_study(study.id)
        with pytest.raises(NotFoundError):
            b.get_trial(trial.id)

    def test_everything_is_there_after_it_was_opened_again(self, a, open_another):
        study = a.create_study(make_study(request_id="r"))
        trials = completed(a, study, 0.4, 0.6)
        expected = a.get_study(study.id)
        a.close()
        again = open_another()
        assert again.get_study(study.id) == expected
        assert list(again.finished_trials(study.id)) == trials
        assert len(again.latest_observations(trials[0].id, 5)[0]) == 1

    @pytest.mark.long
    def test_what_was_acknowledged_survives_kill_9(self, a, url):
        study = a.create_study(make_study())
        program = [sys.executable, "-m", "tests.storage.acknowledge", url, study.id]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            acknowledged = [process.stdout.readline().strip() for _ in range(60)]
            process.kill()
            acknowledged += process.stdout.read().split()
        assert "" not in acknowledged
        for trial_id in acknowledged:
            assert a.get_trial(trial_id).state is COMPLETED
        recount(a, study.id)
        # And the next one carries on.
        add(a, study)
        recount(a, study.id)

    def test_a_deletion_that_was_interrupted_is_finished_by_the_next_who_opens(self, a, b, open_another):
        study = a.create_study(make_study(request_id="r"))
        trials = completed(a, study, *([0.5] * 5))
        # As far as the first transaction, with which the process ends.
        assert a.database.write(lambda session: deletion._mark(session, study.id))
        for call in (
            lambda: b.get_study(study.id),
            lambda: b.get_trial(trials[0].id),
            lambda: b.finished_trials(study.id),
            lambda: b.latest_observations(trials[0].id, 5),
            lambda: b.report(trials[0].id, 0, [observe()]),
        ):
            with pytest.raises(NotFoundError):
                call()
        assert b.list_trials(TrialFilter(), 10, "").items == []
        # Its rows are there until somebody opens the database.
        with pytest.raises(AlreadyExistsError):
            b.create_study(make_study(id=study.id))
        other = open_another()
        other.create_study(make_study(id=study.id))
        other.add_trials(study.id, 0, [replace(new_trials()[0], id=trials[0].id)], NOW)
        assert other.list_observations(trials[0].id, 1, (), 10, "").items == []

    def test_that_a_study_was_deleted_is_forgotten_in_the_end(self, a, b, url, monkeypatch):
        old, new = a.create_study(make_study()), a.create_study(make_study())
        a.delete_study(old.id)
        a.delete_study(new.id)
        execute(url, f"UPDATE deleted_studies SET deleted_at = deleted_at - 2592000000001 WHERE id = '{old.id}'")
        monkeypatch.setattr(deletion, "_LOOK_S", 0.05)
        b.deletions.look()
        until(lambda: not b.was_deleted(old.id))
        assert a.was_deleted(new.id)

    @pytest.mark.parametrize("by", ["itself", "another"])
    def test_a_deletion_that_was_broken_off_is_finished_while_its_storage_is_open(self, a, b, monkeypatch, by):
        study = a.create_study(make_study())
        add(a, study, 600)
        write, calls = a.database.write, []

        def break_off(function, study_id):
            calls.append(1)
            if len(calls) == 3:
                if by == "another":
                    a.deletions.close()
                raise UnavailableError("away for a moment")
            return write(function, study_id)

        if by == "another":
            monkeypatch.setattr(deletion, "_LOOK_S", 0.2)
            b.deletions.begin()
        with monkeypatch.context() as patch:
            patch.setattr(a.database, "write", break_off)
            with pytest.raises(UnavailableError):
                a.delete_study(study.id)
        until(lambda: b.database.read(lambda session: session.row(deletion._TRIALS_LEFT, study=study.id)) is None)
        until(lambda: not b.database.read(lambda session: session.rows(deletion._MARKED)))

    def test_a_deletion_that_the_databases_absence_broke_off_is_finished_when_it_is_back(self, a, monkeypatch):
        study = a.create_study(make_study())
        assert a.database.write(lambda session: deletion._mark(session, study.id))
        a.database.presence.lost("away for a moment", time.monotonic())
        until(lambda: a.database.presence.there)
        until(lambda: not a.database.read(lambda session: session.rows(deletion._MARKED)))

    @pytest.mark.long
    def test_a_large_study_is_deleted_in_pieces_that_let_others_write(self, a, b):
        study, other = a.create_study(make_study()), b.create_study(make_study())
        trials = running(a, study, 1200)
        for trial in trials[3:5]:
            a.report(trial.id, 0, [observe() for _ in range(7000)])
        ended = threading.Event()

        def delete():
            a.delete_study(study.id)
            ended.set()

        def write():
            n = 0
            while not ended.is_set() or n == 0:
                add(b, other)
                n += 1
            return n

        _, written = race(delete, write)
        assert written > 1
        assert a.list_trials(TrialFilter(id_prefix=trials[0].id), 10, "").items == []
        recount(b, other.id)
        # Nothing is left behind: ids and observations' keys are free.
        a.create_study(make_study(id=study.id))
        new = [replace(new, id=trial.id) for new, trial in zip(new_trials(1200), trials, strict=True)]
        a.add_trials(study.id, 0, new, NOW)
        assert a.list_observations(trials[3].id, 1, (), 10, "").items == []

    def test_ids_that_are_alike_are_not_the_same(self, a):
        study = a.create_study(make_study(id="a" + "b" * 15))
        for other in ("A" + "b" * 15, "a" + "B" * 15, study.id + " ", study.id[:-1]):
            with pytest.raises(NotFoundError):
                a.get_study(other)
        assert new_id() != new_id()
