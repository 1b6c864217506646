"""Passes over a real database and real processes; only what cannot be made to fail on demand is made to fail by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from katib.domain.errors import UnavailableError
from katib.domain.names import new_id, run_name
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Intent, Study, StudyReason, StudyState
from katib.domain.trial import NewTrial, TrialReason, TrialState
from katib.manager.changes import StopRequest, StudyChanges
from katib.manager.controller.looking import WorkerAwayError
from katib.manager.storage.open import open_storage
from katib.worker.base import RunSpec
from tests.controller.desk import ME, OTHER, Desk, running
from tests.e2e.harness import study, until


def test_a_change_made_through_another_connection_is_seen_by_the_next_pass(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    # From here on the pass could believe what it remembers.
    desk.work(study_id, 3)
    other = open_storage(f"sqlite:///{tmp_path}/katib.db")
    other.apply(study_id, StudyChanges(stops=(StopRequest(trial.id, TrialReason.STOPPED_BY_USER, "by another"),)))
    other.close()
    desk.finish(study_id)
    assert [(t.state, t.reason) for t in desk.trials(study_id)] == [(TrialState.KILLED, TrialReason.STOPPED_BY_USER)]


def test_a_pass_that_could_not_store_what_it_read_reads_it_again(desk: Desk) -> None:
    study_id = desk.create(study(script="echo acc=0.1; echo acc=0.7", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    desk.storage.before = True
    with pytest.raises(UnavailableError):
        desk.work(study_id)
    desk.finish(study_id)
    observations, _ = desk.storage.latest_observations(trial.id, 10)
    assert [o.value for o in observations] == [0.1, 0.7]


def test_a_commit_whose_outcome_was_unknown_is_not_made_twice(desk: Desk) -> None:
    study_id = desk.create(study(script="echo acc=0.1; echo acc=0.7", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    desk.storage.after = True
    with pytest.raises(UnavailableError):
        desk.work(study_id)
    ended = desk.finish(study_id)
    assert (ended.completed, ended.finished_trials) == (1, 1)
    observations, _ = desk.storage.latest_observations(trial.id, 10)
    assert [o.value for o in observations] == [0.1, 0.7]


def test_a_run_created_by_a_pass_that_could_not_say_so_is_adopted(desk: Desk, tmp_path: Path) -> None:
    script = f"echo begun >> {tmp_path}/begun; echo acc=1"
    study_id = desk.create(study(script=script, limits={"max_trials": 1}))
    until(lambda: desk.work(study_id) or desk.storage.unfinished_trials(study_id) or None, poll=0.01)
    (trial,) = desk.storage.unfinished_trials(study_id)
    if trial.state is TrialState.PENDING:
        desk.storage.before = True
        with pytest.raises(UnavailableError):
            desk.work(study_id)
    assert desk.finish(study_id).completed == 1
    assert (tmp_path / "begun").read_text() == "begun\n"


def test_where_a_study_s_runs_may_be_is_stored_before_one_is_created_there_and_told_to_whoever_looks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, seen, told = ["here"], list[tuple[str, ...]](), list[tuple[str, ...]]()
    real = desk.worker.create

    def create(run: RunSpec) -> None:
        seen.append(desk.storage.get_study(run.study_id).places)
        real(run)

    monkeypatch.setattr(desk.worker, "create", create)
    monkeypatch.setattr(desk.worker, "places", lambda _study_id, _spec: tuple(now))
    monkeypatch.setattr(desk.worker, "look_in", lambda _study_id, places: told.append(tuple(places)))
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 2, "max_parallel": 1}))
    (trial,) = running(desk, study_id)
    # Its options change.
    now[:] = ["there", "here"]
    desk.work(study_id)
    desk.worker.stop(study_id, run_name(trial.id, 1))
    until(lambda: desk.work(study_id) or len(seen) == 2)
    assert seen == [("here",), ("there", "here")]
    assert list(dict.fromkeys(told)) == [(), ("here",), ("there", "here")]
    revision = desk.storage.get_study(study_id).revision
    desk.work(study_id, 3)
    assert desk.storage.get_study(study_id).revision == revision


def test_a_study_that_goes_on_with_nothing_unfinished_is_looked_for_where_its_runs_begin_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = ["old"], list[tuple[str, ...]]()
    monkeypatch.setattr(desk.worker, "places", lambda _study_id, _spec: tuple(now))
    monkeypatch.setattr(desk.worker, "look_in", lambda _study_id, places: told.append(tuple(places)))
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 1}))
    assert desk.finish(study_id).places == ("old",)
    # Of what it had there something is kept.
    now[:] = ["new", "old"]
    desk.storage.update_study(study_id, go_on)
    told.clear()
    until(lambda: desk.work(study_id) or ("new",) in told, poll=0.01)
    assert set(told) == {(), ("new",)}


def go_on(ended: Study) -> Study:
    spec = replace(ended.spec, limits=replace(ended.spec.limits, max_trials=2))
    return replace(ended, spec=spec, state=StudyState.RUNNING, reason="", message="", ended_at=None)


def test_a_manager_frozen_between_asking_and_inserting_adds_no_trial_too_many(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script="sleep 600", limits={"max_trials": 2, "max_parallel": 2}))
    desk.service.hold = True
    until(lambda: desk.work(study_id) or desk.service.held or None, poll=0.01)
    # Frozen here. Another one goes ahead, with the same study at the same count.
    other = open_storage(f"sqlite:///{tmp_path}/katib.db")
    new = [NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),)) for _ in range(2)]
    other.add_trials(study_id, 0, new, datetime.now(UTC))
    other.close()
    desk.service.release()
    desk.work(study_id, 3)
    assert sorted(t.id for t in desk.trials(study_id)) == sorted(t.id for t in new)
    assert desk.storage.get_study(study_id).suggested == 2


def test_a_manager_that_drives_the_study_no_more_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 1}))
    (trial,) = running(desk, study_id)
    until(lambda: all(r.phase.ended for r in desk.worker.list(study_id)))
    usurper = Desk(tmp_path, OTHER)
    try:
        assert list(usurper.storage.claim_studies(OTHER, "", [ME], 10)) == [study_id]
        before = desk.storage.get_study(study_id)
        desk.work(study_id, 3)
        assert desk.storage.get_study(study_id) == before
        ended = usurper.finish(study_id)
        assert (ended.completed, ended.suggested) == (1, 1)
        assert [t.attempt for t in usurper.trials(study_id)] == [trial.attempt]
    finally:
        usurper.close()


@pytest.mark.long
def test_the_worker_that_is_away_is_a_reason_of_the_study_and_nothing_is_lost(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    create = desk.worker.create

    def away(_run: RunSpec) -> None:
        raise UnavailableError("no process can be started now")

    desk.worker.create = away  # type: ignore[method-assign]
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).reason == "WorkerUnavailable", poll=0.01)
    assert "no process can be started now" in desk.storage.get_study(study_id).message
    desk.worker.create = create  # type: ignore[method-assign]
    assert desk.finish(study_id).completed == 1


@pytest.mark.long
@pytest.mark.parametrize("away", [0, 2, 6], ids=["the worker is there", "the worker was away first", "for all of them"])
def test_a_trial_that_the_worker_can_never_create_holds_up_no_other(desk: Desk, away: int) -> None:
    study_id = desk.create(study(script="echo acc=1", limits={"max_trials": 4, "max_parallel": 4}))
    create, refused, tried = desk.worker.create, [], []

    def choosy(run: RunSpec) -> None:
        if not refused:
            refused.append(run.trial_id)
        if run.trial_id in refused or len(tried) < away:
            tried.append(run.trial_id)
            raise UnavailableError("a webhook of the cluster answers 500")
        create(run)

    desk.worker.create = choosy  # type: ignore[method-assign]
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).completed == 3, poll=0.01)
    assert [t.id for t in desk.storage.unfinished_trials(study_id)] == refused
    desk.worker.create = create  # type: ignore[method-assign]
    assert desk.finish(study_id).completed == 4


def test_a_service_that_sends_more_than_the_study_may_have_gives_it_no_trial_too_many(desk: Desk) -> None:
    # The service above fills max_parallel and knows nothing of max_trials.
    study_id = desk.create(study(limits={"max_trials": 3, "max_parallel": 50}))
    assert desk.finish(study_id).completed == 3
    assert [t.number for t in desk.trials(study_id)] == [1, 2, 3]


def test_a_pass_that_fails_is_a_reason_of_the_study_until_one_succeeds(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))
    desk.reconciler.note_failure(study_id, ZeroDivisionError("oops"))
    noted = desk.storage.get_study(study_id)
    assert (noted.state, noted.reason) == (StudyState.RUNNING, "ControllerFailed")
    assert "ZeroDivisionError" in noted.message
    desk.work(study_id)
    assert desk.storage.get_study(study_id).reason == ""
    assert desk.finish(study_id).completed == 1


@pytest.mark.parametrize(
    ("intent", "reason"), [(Intent.DELETE, StudyReason.DELETING), (Intent.STOP, StudyReason.STOPPING)]
)
def test_a_study_whose_end_is_held_up_says_by_what_and_is_being_ended_still(
    desk: Desk, intent: Intent, reason: str
) -> None:
    """Clients know by the reason of a deletion that another one of its name is meant, and its user that it is taken."""
    study_id = desk.create(study(limits={"max_trials": 1}))
    desk.storage.update_study(study_id, lambda s: replace(s, intent=intent, reason=reason))
    desk.reconciler.note_failure(study_id, WorkerAwayError("the cluster does not answer"))
    noted = desk.storage.get_study(study_id)
    assert (noted.reason, noted.message) == (reason, "the cluster does not answer; it is tried again")


def test_the_last_suggestions_are_asked_for_again_when_they_could_not_be_stored(desk: Desk, tmp_path: Path) -> None:
    study_id = desk.create(study(limits={"max_trials": 2}))
    desk.service.last = True
    desk.service.hold = True
    until(lambda: desk.work(study_id) or desk.service.held or None, poll=0.01)
    # Somebody adds a trial at the moment of their coming: they are not stored.
    other = open_storage(f"sqlite:///{tmp_path}/katib.db")
    new = NewTrial(new_id(), (Parameter("x", ParameterType.DOUBLE, "0.1"),))
    other.add_trials(study_id, 0, [new], datetime.now(UTC))
    other.close()
    desk.service.release()
    desk.work(study_id)
    desk.service.hold = False
    ended = desk.finish(study_id)
    assert (ended.completed, ended.reason) == (2, StudyReason.MAX_TRIALS)


def test_while_the_worker_is_away_its_reason_stays_and_nothing_is_written_again_and_again(desk: Desk) -> None:
    study_id = desk.create(study(limits={"max_trials": 1}))

    def away(_run: RunSpec) -> None:
        raise UnavailableError("no process can be started now")

    desk.worker.create = away  # type: ignore[method-assign]
    until(lambda: desk.work(study_id) or desk.storage.get_study(study_id).reason == "WorkerUnavailable", poll=0.01)
    noted = desk.storage.get_study(study_id)
    desk.work(study_id, 20)
    assert desk.storage.get_study(study_id) == noted


def test_a_study_waits_while_the_disk_is_full_and_goes_on_when_there_is_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = desk.create(study(limits={"max_trials": 3, "max_parallel": 2}))
    # To fill a disk of its own takes privileges to mount one.
    monkeypatch.setattr("katib.worker.local.folder.ROOM", 2**62)
    monkeypatch.setattr("katib.worker.local.folder.SMALL", 1)
    until(
        lambda: desk.work(study_id) or desk.storage.get_study(study_id).reason == StudyReason.WORKER_UNAVAILABLE,
        poll=0.01,
    )
    assert "make room, as no trial is started" in desk.storage.get_study(study_id).message
    desk.work(study_id, 5)
    assert {(t.state, t.attempt) for t in desk.trials(study_id)} == {(TrialState.PENDING, 1)}
    monkeypatch.undo()
    ended = desk.finish(study_id)
    assert (ended.completed, ended.failed) == (3, 0)
