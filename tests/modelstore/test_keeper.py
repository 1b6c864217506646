"""The keeper: every finished trial has one model record, whatever crashes, and retention removes what is its own."""

import threading
from pathlib import Path

import pytest

from katib.domain.errors import FailedPreconditionError, NotFoundError, UnavailableError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.names import run_name
from katib.domain.study import Objective
from katib.domain.trial import TrialState
from katib.manager.changes import StudyChanges
from katib.manager.keeper import Keeper
from katib.manager.modelstore.open import open_deliveries
from tests.modelstore.keeping import QUICK, end, files, keeper, kept, new_study, storage, store, worker
from tests.storage.builders import (
    COMPLETED,
    ERROR,
    KILLED,
    NOW,
    RUNNING,
    add,
    go,
    intake,
    make_spec,
    make_study,
    move,
    observe,
)
from tests.waiting import until

__all__ = ["keeper", "storage", "store", "worker"]


def test_a_model_says_what_is_known_of_its_trial(storage, store, worker, keeper):
    study = new_study(storage)
    (trial,) = end(storage, worker, study, 0.25)
    keeper.keep(storage.get_study(study.id))
    assert kept(store) == {
        1: SavedModel(
            study_name="digits",
            trial_id=trial.id,
            parameters=trial.parameters,
            metrics=(("accuracy", "0.25"), ("loss", "0.75")),
            model_path=f"{worker._data}/runs/{study.id}/{trial.run}/model",
            saved_at=NOW,
            study_id=study.id,
            number=1,
            state=TrialState.COMPLETED,
            objective=0.25,
            kept=True,
        )
    }


def test_the_last_value_of_each_metric_counts(storage, store, worker, keeper):
    study = new_study(storage)
    (trial,) = add(storage, study)
    (trial,) = go(storage, trial, to=RUNNING, run=run_name(trial.id, 1), at=NOW)
    values = [observe(0.1), observe(5.0, "loss"), observe(0.3), observe(0.2), observe(float("nan"), "loss")]
    storage.apply(study.id, StudyChanges(intakes=(intake(trial, *values),), moves=(move(trial, COMPLETED),)))
    keeper.keep(storage.get_study(study.id))
    assert dict(kept(store)[1].metrics) == {"accuracy": "0.2", "loss": "nan"}


@pytest.mark.parametrize("state", [COMPLETED, KILLED, ERROR])
def test_every_finished_trial_has_one_however_it_ended(storage, store, worker, keeper, state):
    study = new_study(storage)
    end(storage, worker, study, None, to=state, model="")
    add(storage, study)
    keeper.keep(storage.get_study(study.id))
    (model,) = kept(store).values()
    assert (model.state, model.objective, model.metrics, model.model_path) == (state, None, (), "")


@pytest.mark.long
def test_many_trials_are_kept_in_pages(storage, store, worker, keeper):
    study = new_study(storage)
    end(storage, worker, study, *[i / 1000 for i in range(450)], model="")
    keeper.keep(storage.get_study(study.id))
    assert set(kept(store)) == set(range(1, 451))


class Breaking:
    """A store or deliveries that fail at one call, before or after it has worked."""

    def __init__(self, real, method, *, after, error=UnavailableError):
        self._real, self._method, self._after, self._error = real, method, after, error
        self.broken = True

    def __getattr__(self, name):
        real = getattr(self._real, name)
        if name != self._method or not self.broken:
            return real

        def call(*arguments):
            if self._after:
                real(*arguments)
            raise self._error("cut off")

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("what", ["keep", "advance", "remove"])
def test_a_manager_that_dies_over_it_leaves_each_model_once(storage, store, worker, what, after):
    study = new_study(storage, keep_models="best:2")
    end(storage, worker, study, 0.5, 0.25, 0.75, 0.1)
    deliveries = open_deliveries(storage)
    parts = {"keep": store, "remove": store, "advance": deliveries}
    parts[what] = Breaking(parts[what], what, after=after)
    broken_store = parts["remove"] if what == "remove" else parts["keep"]
    dying = Keeper(storage, broken_store, parts["advance"], worker, pace=QUICK)
    with pytest.raises(UnavailableError):
        dying.keep(storage.get_study(study.id))
    Keeper(storage, store, deliveries, worker, pace=QUICK).keep(storage.get_study(study.id))
    assert {n: m.objective for n, m in kept(store).items()} == {1: 0.5, 3: 0.75}
    assert len(files(worker, study)) == 2


def test_two_managers_that_keep_at_once_leave_each_model_once(storage, store, worker):
    study = new_study(storage)
    end(storage, worker, study, *[i / 100 for i in range(60)], model="")
    keepers = [Keeper(storage, store, open_deliveries(storage), worker, pace=QUICK) for _ in range(4)]
    failures = []

    def keep(keeper):
        try:
            keeper.keep(storage.get_study(study.id))
        except Exception as error:  # noqa: BLE001  # shown below
            failures.append(error)

    threads = [threading.Thread(target=keep, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert set(kept(store)) == set(range(1, 61))


# Retention


@pytest.mark.parametrize(
    ("optimization", "left"), [(Objective.MAXIMIZE, {1: 0.5, 3: 0.75}), (Objective.MINIMIZE, {2: 0.25, 4: 0.1})]
)
def test_the_best_are_kept_and_the_others_files_removed(storage, store, worker, keeper, optimization, left):
    study = new_study(storage, keep_models="best:2", optimization=optimization)
    for value in (0.5, 0.25, 0.75, 0.1):
        end(storage, worker, study, value)
        keeper.keep(storage.get_study(study.id))
    assert {number: model.objective for number, model in kept(store).items()} == left
    assert files(worker, study) == sorted(Path(m.model_path).parent.name for m in kept(store).values())


def test_what_failed_or_was_stopped_comes_after_what_ended_well(storage, store, worker, keeper):
    study = new_study(storage, keep_models="best:2")
    end(storage, worker, study, 0.9, to=KILLED)
    end(storage, worker, study, None, to=ERROR)
    end(storage, worker, study, 0.1)
    keeper.keep(storage.get_study(study.id))
    assert set(kept(store)) == {1, 3}


def test_none_are_kept_when_none_are_wanted(storage, store, worker, keeper):
    study = new_study(storage, keep_models="none")
    end(storage, worker, study, 0.5, 0.25)
    keeper.keep(storage.get_study(study.id))
    assert kept(store) == {}
    assert files(worker, study) == []


def test_what_a_client_says_of_its_model_keeps_it_where_none_are_wanted(storage, store, worker, keeper):
    study = new_study(storage, keep_models="none")
    mine, _ = end(storage, worker, study, 0.5, 0.25)
    path = f"{worker._data}/runs/{study.id}/{mine.run}/model"
    store.save_study(SavedStudy("digits", "", ""))
    store.save_model(SavedModel("digits", mine.id, (), (), path))
    keeper.keep(storage.get_study(study.id))
    assert files(worker, study) == [mine.run]


def test_a_model_that_cannot_be_removed_keeps_its_record_and_holds_up_nothing(storage, store, worker, keeper, caplog):
    study = new_study(storage, keep_models="best:1")
    end(storage, worker, study, 0.5, 0.25)

    class Stuck:
        def __getattr__(self, name):
            return getattr(worker, name)

        def remove_model(self, study_id, path):
            raise UnavailableError("permission denied")

    Keeper(storage, store, open_deliveries(storage), Stuck(), pace=QUICK).keep(storage.get_study(study.id))
    assert set(kept(store)) == {1, 2}
    assert any("cannot be removed" in record.getMessage() for record in caplog.records)
    end(storage, worker, study, 0.75)
    keeper.keep(storage.get_study(study.id))
    assert set(kept(store)) == {3}


def test_what_a_program_says_of_its_model_is_recorded_and_never_removed(storage, store, worker, keeper):
    study = new_study(storage, keep_models="best:1")
    (best,) = end(storage, worker, study, 0.5)
    keeper.keep(storage.get_study(study.id))
    (theirs,) = kept(store).values()
    # Another trial says that its model is the best one's; its own files go, and those stay.
    end(storage, worker, study, 0.25, says=theirs.model_path)
    keeper.keep(storage.get_study(study.id))
    assert {n: m.model_path for n, m in kept(store).items()} == {1: theirs.model_path}
    assert files(worker, study) == [best.run]
    (better,) = end(storage, worker, study, 0.75, says="s3://models/3")
    keeper.keep(storage.get_study(study.id))
    assert {n: m.model_path for n, m in kept(store).items()} == {3: "s3://models/3"}
    assert files(worker, study) == [better.run]


def test_files_that_no_run_wrote_are_left_alone(storage, store, worker, keeper, tmp_path):
    study = new_study(storage, keep_models="none")
    mine = tmp_path / "precious"
    mine.mkdir()
    (mine / "data").write_text("mine")
    (trial,) = end(storage, worker, study, 0.5, model="")
    (Path(worker._data, "runs", study.id, trial.run) / "model").symlink_to(mine)
    keeper.keep(storage.get_study(study.id))
    assert (mine / "data").read_text() == "mine"
    for path in (str(mine), f"{worker._data}/runs", f"{worker._data}/runs/{study.id}/{trial.run}", "/", "", "a/model"):
        worker.remove_model(study.id, path)
    assert (mine / "data").read_text() == "mine"
    assert Path(worker._data, "runs", study.id, trial.run).is_dir()


def test_what_a_client_has_saved_outlives_retention(storage, store, worker, keeper):
    study = new_study(storage, keep_models="best:1")
    (first,) = end(storage, worker, study, 0.25)
    keeper.keep(storage.get_study(study.id))
    store.save_model(SavedModel("digits", first.id, (), (), "s3://mine"))
    end(storage, worker, study, 0.5, 0.75)
    keeper.keep(storage.get_study(study.id))
    assert {n: m.model_path[:4] for n, m in kept(store).items()} == {1: "s3:/", 3: worker._data[:4]}


# The thread


@pytest.fixture
def running(keeper):
    keeper.start()
    yield keeper
    keeper.close()


def test_models_come_by_themselves(storage, store, worker, running):
    study = new_study(storage)
    until(lambda: "digits" in [s.name for s in store.saved_studies()])
    end(storage, worker, study, 0.5, 0.25)
    until(lambda: set(kept(store)) == {1, 2})


def test_what_was_missed_is_kept_by_the_next_manager(storage, store, worker):
    study = new_study(storage)
    end(storage, worker, study, 0.5, 0.25)
    later = Keeper(storage, store, open_deliveries(storage), worker, pace=QUICK)
    later.start()
    try:
        until(lambda: store.saved_studies() and set(kept(store)) == {1, 2})
    finally:
        later.close()


def test_a_study_of_another_machine_is_left_to_it(storage, store, worker, running):
    elsewhere = storage.create_study(make_study(placement="local:elsewhere:/data", spec=make_spec(name="there")))
    end(storage, worker, elsewhere, 0.5)
    here = new_study(storage, name="here")
    end(storage, worker, here, 0.5)
    until(lambda: "here" in [s.name for s in store.saved_studies()] and kept(store, "here"))
    assert [s.name for s in store.saved_studies()] == ["here"]


def test_a_store_that_is_away_gets_later_what_it_missed(storage, store, worker, caplog):
    away = Breaking(store, "keep", after=False)
    keeper = Keeper(storage, away, open_deliveries(storage), worker, pace=QUICK)
    keeper.start()
    try:
        study = new_study(storage)
        end(storage, worker, study, 0.5, 0.25)
        until(lambda: any("kept later" in record.message for record in caplog.records))
        assert store.saved_studies() == []
        away.broken = False
        until(lambda: store.saved_studies() and set(kept(store)) == {1, 2})
        assert sum("cannot be kept" in record.message for record in caplog.records) == 1
    finally:
        keeper.close()


@pytest.mark.parametrize("error", [FailedPreconditionError, UnavailableError, NotFoundError, ValueError])
def test_a_study_that_cannot_be_kept_does_not_hold_up_the_others(storage, store, worker, error, caplog):
    class Picky(Breaking):
        def keep(self, study, finished):
            if study.spec.name == "bad":
                raise error("no such thing")
            store.keep(study, finished)

    keeper = Keeper(storage, Picky(store, "", after=False), open_deliveries(storage), worker, pace=QUICK)
    keeper.start()
    try:
        bad, good = new_study(storage, name="bad"), new_study(storage, name="good")
        for study in (bad, good):
            end(storage, worker, study, 0.5)
        until(lambda: "good" in [s.name for s in store.saved_studies()] and kept(store, "good"))
        until(lambda: any("cannot be kept" in r.getMessage() or bad.id in r.getMessage() for r in caplog.records))
    finally:
        keeper.close()


def test_a_quiet_study_costs_nothing(storage, store, worker, running):
    study = new_study(storage)
    end(storage, worker, study, 0.5)
    until(lambda: store.saved_studies() and kept(store))
    deliveries = running._deliveries
    until(lambda: deliveries.behind(store.name, worker.placement, 9) == [])
    # To a store that has had nothing it is news.
    assert deliveries.behind("another", worker.placement, 9) == [study.id]


def test_a_deleted_study_is_no_trouble(storage, store, worker, running, caplog):
    study = new_study(storage)
    end(storage, worker, study, 0.5)
    until(lambda: store.saved_studies() and kept(store))
    storage.delete_study(study.id)
    running.wake(study.id)
    end(storage, worker, new_study(storage, name="next"), 0.5)
    until(lambda: "next" in [s.name for s in store.saved_studies()] and kept(store, "next"))
    assert [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []
    assert set(kept(store)) == {1}
