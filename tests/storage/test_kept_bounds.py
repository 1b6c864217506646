"""What is kept from one transaction to the next: for how long, how much, and never of two revisions at once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import kept
from katib.manager.storage.sql.held import About, Held, HeldStudy, Instant
from katib.manager.storage.sql.kept import Kept
from katib.manager.storage.sql.session import StaleError
from tests.storage.builders import COMPLETED, NOW, ids, make_study, new_trials
from tests.storage.test_held import LEASE

START = Instant(0.0, 0.0)


def test_a_study_that_others_write_to_is_not_assumed_to_be_anything_for_a_while():
    clock = [0.0]
    kept_ = Kept(lambda: Instant(clock[0], clock[0]))
    held = _held()
    kept_.learn(held)
    about = [About(study_id="s", client_id="c")]
    assert kept_.assume(about) is not None
    kept_.contest("s")
    kept_.learn(held)
    assert kept_.assume(about) is None
    clock[0] = kept._CONTESTED_S + 0.1
    kept_.learn(_held(at=Instant(clock[0], clock[0])))
    assert kept_.assume(about) is not None


def _held(study_id="s", clients=("c",), revision=1, trials=1, lapsed=(), stored=None, at=None):
    at = at or START
    study = make_study(id=study_id, revision=revision)
    held = Held()
    held.studies[study_id] = HeldStudy(stored or study, study, NOW, at)
    held.lapsed[study_id] = lapsed
    for client in clients:
        of = [f"{study_id}-{client}-{i}" for i in range(trials)]
        held.of_clients[study_id, client] = tuple(of)
        for trial_id in of:
            held.trials[trial_id] = _trial(trial_id, study_id, client), 0
    return held


def _trial(trial_id, study_id, client):
    storage = open_storage("memory://")
    study = storage.create_study(make_study())
    (trial,) = storage.add_trials(study.id, 0, new_trials(client_id=client, lease=LEASE), NOW, running=True)
    storage.close()
    return replace(trial, id=trial_id, study_id=study_id)


@pytest.mark.parametrize("clock", ["both", "monotonic", "wall"])
def test_it_is_assumed_for_a_second_that_no_lease_is_over_and_the_databases_clock_goes_on_meanwhile(clock):
    now = [50.0]
    # One of them stands still: the monotonic one while a machine sleeps, the other one when it is set back.
    kept_ = Kept(lambda: Instant(50.0 if clock == "wall" else now[0], 50.0 if clock == "monotonic" else now[0]))
    kept_.learn(_held(at=Instant(50.0, 50.0)))
    about = [About(study_id="s", client_id="c")]
    now[0] = 50.75
    assumed = kept_.assume(about)
    assert assumed is not None
    assert assumed.studies["s"].at == NOW + timedelta(seconds=0.75)
    assert assumed.of_clients == {("s", "c"): ("s-c-0",)}
    assert ids(t for t, _ in assumed.trials.values()) == ["s-c-0"]
    kept_.check(assumed)
    now[0] = 51.01
    assert kept_.assume(about) is None
    # What was assumed when it was written does not make that any newer.
    kept_.learn(assumed)
    assert kept_.assume(about) is None
    # Nor is it written by one that has stood still since.
    now[0] = 52.0
    with pytest.raises(StaleError):
        kept_.check(assumed)


def test_nothing_is_assumed_of_a_study_in_which_a_lease_is_over():
    kept_ = Kept(lambda: START)
    kept_.learn(_held(lapsed=("s-c-0",)))
    assert kept_.assume([About(study_id="s", client_id="c")]) is None


@pytest.mark.parametrize(
    "about",
    [
        About(study_id="s", client_id="d"),
        About(study_id="t", client_id="c"),
        About(trial_id="s-c-1"),
        # Its own study is asked for more, whatever else is named.
        About(trial_id="s-c-0", study_id="t", client_id="c"),
    ],
)
def test_what_is_not_known_whole_is_not_assumed(about):
    kept_ = Kept(lambda: START)
    kept_.learn(_held())
    known = About(trial_id="s-c-0", study_id="s", client_id="c")
    assert kept_.assume([known]) is not None
    assert kept_.assume([about]) is None
    assert kept_.assume([known, about]) is None


def test_what_was_known_of_another_revision_is_not_mixed_with_what_is_read_now():
    kept_ = Kept(lambda: START)
    kept_.learn(_held(clients=("c", "d")))
    # Two changes of somebody else lie between.
    kept_.learn(_held(clients=("d",), revision=4, stored=make_study(id="s", revision=3)))
    assert kept_.assume([About(study_id="s", client_id="d")]) is not None
    assert kept_.assume([About(study_id="s", client_id="c")]) is None
    assert kept_.assume([About(trial_id="s-c-0")]) is None


def test_a_trial_that_has_ended_is_not_kept():
    kept_ = Kept(lambda: START)
    held = _held()
    kept_.learn(held)
    trial, taken = held.trials["s-c-0"]
    again = replace(held.studies["s"].study, revision=2)
    ended = Held(studies={"s": HeldStudy(held.studies["s"].study, again, NOW, START)}, lapsed={"s": ()})
    ended.change(replace(trial, state=COMPLETED), taken + 1)
    kept_.learn(ended)
    assert kept_.assume([About(trial_id="s-c-0")]) is None
    assumed = kept_.assume([About(study_id="s", client_id="c")])
    assert assumed is not None
    assert assumed.of_clients == {("s", "c"): ()}


@pytest.mark.parametrize("limit", [("_MOST_TRIALS", 6), ("_MOST_STUDIES", 2)])
def test_only_so_much_is_kept_and_of_the_studies_that_were_written_last(monkeypatch, limit):
    monkeypatch.setattr(kept, *limit)
    kept_ = Kept(lambda: START)
    for name in ("r", "s", "t"):
        kept_.learn(_held(name, trials=3))
    found = [kept_.assume([About(study_id=name, client_id="c")]) is not None for name in ("r", "s", "t")]
    assert found == [False, True, True]


def test_only_so_many_clients_of_a_study_are_kept(monkeypatch):
    monkeypatch.setattr(kept, "_MOST_CLIENTS", 2)
    kept_ = Kept(lambda: START)
    kept_.learn(_held(clients=("a", "b", "c")))
    found = [kept_.assume([About(study_id="s", client_id=name)]) is not None for name in ("a", "b", "c")]
    assert found == [False, True, True]
    # A trial is known without its client.
    assert kept_.assume([About(trial_id="s-a-0")]) is not None
