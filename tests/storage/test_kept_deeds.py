"""All that a second manager can do to a study of which the first one takes something for known, by every call of a client."""

from dataclasses import replace

import pytest

from katib.domain.study import Intent, StudyState
from katib.domain.trial import TrialReason
from katib.manager.changes import StopRequest, StudyChanges
from katib.manager.ports import ManagerRecord
from tests.storage.builders import KILLED, add, go, recount
from tests.storage.test_held import LEASE, complete, give, report
from tests.storage.test_kept import Assumptions, begin, loop, outcome, patient, two

__all__ = ["patient", "two"]


# Each: what another manager does to a study of which `one` knows the client's trial, and what `loop` and `report` of `one` must
# come to then.
def _completes(other, study, trial):
    complete(other, trial)()


def _kills(other, study, trial):
    go(other, trial, to=KILLED)


def _asks_it_to_stop(other, study, trial):
    other.apply(study.id, StudyChanges(stops=(StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "enough"),)))


def _pauses(other, study, trial):
    other.update_study(study.id, lambda s: replace(s, state=StudyState.PAUSED))


def _is_to_stop(other, study, trial):
    other.update_study(study.id, lambda s: replace(s, intent=Intent.STOP))


def _renames(other, study, trial):
    other.update_study(study.id, lambda s: replace(s, spec=replace(s.spec, name="digits II")))


def _reports(other, study, trial):
    report(other, trial, 0.9)()


def _adds(other, study, trial):
    add(other, study, 2, client_id="d", running=True, lease=LEASE)


def _claims(other, study, trial):
    other.heartbeat(ManagerRecord("m2", "h", "1"))
    assert study.id in other.claim_studies("m2", "", ["m1"], 1000)


def _deletes(other, study, trial):
    other.delete_study(study.id)


DEEDS = [
    _completes,
    _kills,
    _asks_it_to_stop,
    _pauses,
    _is_to_stop,
    _renames,
    _reports,
    _adds,
    _claims,
    _deletes,
]


def told(found, names):
    """Comparable between two studies to which the same was done."""
    text = repr(found)
    for name, shown in names.items():
        text = text.replace(name, shown)
    return text


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__.strip("_"))
@pytest.mark.parametrize("then", ["loop", "report", "complete", "give"])
def test_what_another_manager_did_is_what_a_call_finds(two, deed, then):
    one, other = two
    found = []
    # The second time the writer has nothing that it could take for known.
    for forgetful in (False, True):
        study, trial = begin(one, manager="m1")
        deed(other, study, trial)
        watched = Assumptions(one)
        if forgetful:
            one.database._writer._kept.clear()
        functions = {
            "loop": lambda trial=trial: loop(one, trial),
            "report": report(one, trial, 0.7),
            "complete": complete(one, trial),
            "give": give(one, study, "c", count=2),
        }
        result = outcome(functions[then])
        after = outcome(lambda study=study: one.get_study(study.id))
        stored = outcome(lambda trial=trial: one.get_trial(trial.id))
        found.append((_shape(result), _shape(after), _shape(stored), study, trial))
        assert (watched.made, watched.right) == ((0, 0) if forgetful else (1, 0))
        if deed is not _deletes:
            recount(one, study.id)
    (*first, study, trial), (*second, study2, trial2) = found
    names = {study.id: "study", trial.id: "trial"}
    names2 = {study2.id: "study", trial2.id: "trial"}
    assert told(first, names) == told(second, names2)


def _shape(found):
    """What counts of an answer: new trials by their number, since each has an id of its own."""
    if hasattr(found, "given"):
        return _shape(found.study), [_shape(t) for t in found.trials.values()], found.refused, _shape(found.given)
    if isinstance(found, (list, tuple)):
        return [_shape(f) for f in found]
    if hasattr(found, "attempt"):
        known = (found.number, found.attempt, found.state, found.revision, found.objective, found.client_id)
        return (*known, found.reason, found.message, found.stop_reason, found.lease, found.lease_until is None)
    if hasattr(found, "suggested"):
        return replace(found, best_trial_id="")
    return found
