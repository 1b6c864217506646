"""Two managers on one database, each of which takes for known what it wrote last: calls drawn at random, some of them at the
same moment, lead to what they lead to where nothing is taken for known."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from katib.domain.errors import KatibError
from katib.domain.study import StudyState
from katib.manager.changes import Giving, StopRequest, StudyChanges
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import kept
from tests.examples import examples
from tests.storage import servers
from tests.storage.builders import COMPLETED, NOW, intake, make_study, move, new_trials, observe, recount
from tests.storage.test_held import LEASE, calls
from tests.storage.test_kept import Assumptions

clients = st.sampled_from(["a", "b", "c"])
which = st.integers(0, 9)
values = st.sampled_from([0.25, 0.5, 0.75])
ends = st.tuples(st.just("end"), which, values, clients)
leases = st.sampled_from([LEASE, LEASE, 2 * LEASE])
gives = st.tuples(st.just("give"), clients, st.integers(1, 2), leases)
reports = st.tuples(st.just("report"), which, values)
others = st.one_of(
    st.tuples(st.just("hand_out"), clients, st.integers(1, 2), leases),
    st.tuples(st.just("stop"), which),
    st.tuples(st.just("add"), st.integers(0, 2), clients),
    st.tuples(st.just("state"), st.sampled_from([StudyState.RUNNING, StudyState.RUNNING, StudyState.PAUSED])),
    st.tuples(st.just("claim"), st.sampled_from(["m", "n"])),
)
# What comes to a manager at the same moment.
batches = st.lists(ends | gives | ends | reports | ends | gives | ends | others, min_size=1, max_size=3)
# At which of the two managers, and what comes there one after the other.
steps = st.lists(st.tuples(st.integers(0, 1), st.lists(batches, min_size=1, max_size=4)), min_size=2, max_size=8)


def bind(deed, trial_ids, study):
    """The deed as a function of a storage, the same for each: new trials have the same ids, and values the same positions."""
    name, *arguments = deed
    fresh = new_trials(2)

    def named(i):
        return trial_ids[-1 - i % len(trial_ids)] if trial_ids else "a" * 16

    def giving(client, count_, lease=LEASE):
        return Giving(study.id, client, count_, lease, NOW, lambda _study, n: fresh[:n])

    if name == "end":
        trial_id, seen, give = named(arguments[0]), observe(arguments[1]), giving(arguments[2], 1)

        def decide(_study, now):
            if now.state.finished:
                return None
            return StudyChanges(intakes=(intake(now, seen),), moves=(move(now, COMPLETED),))

        return lambda storage: storage.apply_to(trial_id, decide, give=give)
    if name == "give":
        asked = giving(*arguments)
        return lambda storage: storage.give_trials(asked)
    if name == "report":
        trial_id, seen = named(arguments[0]), observe(arguments[1])
        return lambda storage: storage.report(trial_id, 0, [seen])
    if name == "hand_out":
        client, count_, lease = arguments
        return lambda storage: storage.hand_out(study.id, client, count_, lease, NOW)
    if name == "stop":
        stops = (StopRequest(named(arguments[0]), "StoppedByUser", "enough"),)
        return lambda storage: storage.apply(study.id, StudyChanges(stops=stops))
    if name == "add":
        n, client = arguments
        new = [replace(trial, client_id=client, lease=LEASE) for trial in fresh[:n]]
        return lambda storage: storage.add_trials(study.id, len(trial_ids), new, NOW, running=True)
    if name == "state":
        return lambda storage: storage.update_study(study.id, lambda s: replace(s, state=arguments[0]))
    return lambda storage: storage.claim_studies(arguments[0], "", ["m", "n"], 1000)


def outcome(function):
    """What it gave back or raised, but for when leases end: each storage has a clock of its own."""
    try:
        return shape(function())
    except KatibError as error:
        return type(error)


def shape(found):
    if isinstance(found, Exception):
        return type(found)
    if hasattr(found, "given"):
        return found.study, sorted(found.trials), shape(list(found.trials.values())), found.refused, shape(found.given)
    if isinstance(found, (list, tuple)):
        return [shape(f) for f in found]
    return replace(found, lease_until=None) if getattr(found, "lease_until", None) else found


def everything(storage, study):
    trials = [*storage.unfinished_trials(study.id), *storage.finished_trials(study.id)]
    return (
        storage.get_study(study.id),
        shape(trials),
        [storage.latest_observations(t.id, 9) for t in trials],
        storage.driven_studies("m").get(study.id),
    )


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", *servers.KINDS])
def test_two_managers_come_to_what_is_right_however_their_calls_alternate(kind, request, monkeypatch):
    # Assumed again right after it was wrong.
    monkeypatch.setattr(kept, "_CONTESTED_S", 0.0)
    url = request.getfixturevalue(f"{kind}_url")
    with ExitStack() as stack:
        memory, *two = (open_storage(u) for u in ("memory://", url, url))
        for storage in (memory, *two):
            stack.callback(storage.close)
        watched = [Assumptions(storage) for storage in two]

        @settings(max_examples=examples(200 if kind == "sqlite" else 80), suppress_health_check=list(HealthCheck))
        @given(steps)
        def walk(steps):
            study = make_study(manager="m")
            for storage in (memory, two[0]):
                storage.create_study(study)
            begin = [[("give", client, 1, LEASE)] for client in ("a", "b", "c")]
            for at, batch in [(at, batch) for at, run in [(0, begin), *steps] for batch in run]:
                trial_ids = [t.id for t in sorted(trials_of(memory, study), key=lambda t: t.number)]
                functions = [bind(deed, trial_ids, study) for deed in batch]
                wanted = [outcome(partial(f, memory)) for f in functions]
                # A claim waits for nobody and would overtake the others.
                if len(batch) == 1 or any(name == "claim" for name, *_ in batch):
                    found = [outcome(partial(f, two[at])) for f in functions]
                else:
                    found = shape(calls(two[at], *(partial(f, two[at]) for f in functions)))
                assert found == wanted
            assert everything(two[0], study) == everything(memory, study)
            recount(two[0], study.id)
            for storage in (memory, two[0]):
                storage.delete_study(study.id)

        walk()
        assert sum(w.made for w in watched) > sum(w.right for w in watched) > 0


def trials_of(storage, study):
    return [*storage.unfinished_trials(study.id), *storage.finished_trials(study.id)]
