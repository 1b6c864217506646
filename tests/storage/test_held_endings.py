"""Clients that end a trial and ask for the next come to the writer together: each gets what it would have got alone."""

from dataclasses import replace

from katib.domain.errors import AbortedError, NotFoundError, ResourceExhaustedError
from katib.manager.changes import Giving, StudyChanges
from katib.manager.storage.open import open_storage
from tests.storage.builders import (
    COMPLETED,
    NOW,
    RUNNING,
    add,
    ids,
    intake,
    make_study,
    move,
    new_trials,
    observe,
    recount,
)
from tests.storage.test_held import LEASE, Statements, calls, complete, give, report, storage

__all__ = ["storage"]


def end(storage, trial, value=None, client="c", choose=None, study_id="", most=0):
    """A call that ends the trial and asks for one more of its study."""
    observed = () if value is None else (observe(value),)
    giving = Giving(study_id or trial.study_id, client, 1, LEASE, NOW, choose or (lambda _study, n: new_trials(n)))

    def decide(_study, now):
        if now.state.finished:
            return None
        intakes = (intake(now, *observed),) if observed else ()
        return StudyChanges(intakes=intakes, moves=(move(now, COMPLETED),))

    return lambda: storage.apply_to(trial.id, decide, most=most, give=giving)


def test_clients_of_two_studies_that_end_their_trials_together_each_get_another_of_their_own(storage):
    made = [storage.create_study(make_study()) for _ in range(2)]
    trials = [add(storage, study, client_id=f"c{i}", running=True, lease=LEASE)[0] for study in made for i in range(3)]
    found = calls(storage, *(end(storage, t, 0.1 * t.number, t.client_id) for t in trials))
    for before, applied in zip(trials, found, strict=True):
        (given,) = applied.given
        assert (given.study_id, given.client_id, given.state) == (before.study_id, before.client_id, RUNNING)
        assert applied.trials[before.id] == storage.get_trial(before.id)
        assert storage.get_trial(given.id) == given
    for study in made:
        after = storage.get_study(study.id)
        assert (after.completed, after.running, after.suggested, after.best_objective) == (3, 3, 6, 0.1 * 3)
        recount(storage, study.id)
    assert len({a.given[0].id for a in found}) == 6


def test_the_same_end_sent_twice_at_the_same_moment_is_taken_once_and_gives_the_same_trial(storage):
    study = storage.create_study(make_study())
    (trial,) = add(storage, study, client_id="c", running=True, lease=LEASE)
    found = calls(storage, end(storage, trial, 0.5), end(storage, trial, 0.5), give(storage, study, "c"))
    assert ids(found[0].given) == ids(found[1].given) == ids(found[2])
    assert not found[1].trials
    assert [o.value for o in storage.latest_observations(trial.id, 10)[0]] == [0.5]
    assert storage.get_study(study.id).suggested == 2
    recount(storage, study.id)


def test_what_was_given_at_the_same_moment_can_be_reported_of_and_ended(storage):
    study = storage.create_study(make_study())
    (first,) = add(storage, study, client_id="c", running=True, lease=LEASE)
    (named,) = new_trials()
    second = replace(first, id=named.id)
    found = calls(
        storage,
        end(storage, first, choose=lambda _study, _n: [named]),
        end(storage, second, 0.25),
    )
    assert [t.number for t in found[1].given] == [3]
    assert (found[1].trials[named.id].state, found[1].trials[named.id].objective) == (COMPLETED, 0.25)
    recount(storage, study.id)


def test_one_that_is_refused_among_many_gives_nothing_and_the_others_lose_nothing(storage):
    study = storage.create_study(make_study())
    trials = add(storage, study, 4, client_id="", running=True)
    gone = replace(trials[0], id="t000000000000000")

    def late(_study, _lacking):
        raise AbortedError("ask the service first")

    found = calls(
        storage,
        end(storage, trials[0], 0.1, "a"),
        end(storage, gone, 0.1, "b"),
        end(storage, trials[1], 0.2, "d", choose=late),
        end(storage, trials[2], 0.3, "e", study_id="s000000000000000"),
        complete(storage, trials[3]),
        give(storage, study, "f"),
    )
    assert isinstance(found[1], NotFoundError)
    assert found[2].given is None
    assert [a.study.id for a in (found[0], found[2], found[3])] == [study.id] * 3
    assert {found[0].given[0].number, found[3].given[0].number, found[5][0].number} == {5, 6, 7}
    after = storage.get_study(study.id)
    assert (after.completed, after.running, after.best_objective) == (4, 3, 0.3)
    recount(storage, study.id)


def test_room_is_counted_with_what_others_have_taken_at_the_same_moment(storage):
    study = storage.create_study(make_study())
    (trial,) = add(storage, study, client_id="c", running=True, lease=LEASE)
    _, refused = calls(storage, report(storage, trial, 0.1), end(storage, trial, 0.2, most=1))
    assert isinstance(refused, ResourceExhaustedError)
    after = storage.get_study(study.id)
    assert (after.running, after.suggested, after.observed) == (1, 1, 1)
    recount(storage, study.id)


def test_ends_and_questions_that_come_together_are_read_and_written_together(sqlite_url):
    storage = open_storage(sqlite_url)
    study = storage.create_study(make_study())
    trials = [add(storage, study, client_id=f"c{i}", running=True, lease=LEASE)[0] for i in range(8)]
    with Statements(storage) as statements:
        calls(storage, *(end(storage, t, 0.5, t.client_id) for t in trials))
    storage.close()
    assert len(statements.of("SELECT", "FROM studies")) == 1
    assert len(statements.of("UPDATE", "studies")) == 1
    assert len([s for s in statements.seen if s.startswith("SELECT") and "trials.id IN" in s]) == 1
    assert len([s for s in statements.seen if s.startswith("SELECT") and "trials.client_id IN" in s]) == 1
