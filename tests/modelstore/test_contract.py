"""What every model store does: in memory, in the databases, at an MLflow server."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from katib.domain.errors import InvalidArgumentError, NotFoundError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.trial import TrialState
from katib.manager.models import FinishedTrial
from katib.manager.modelstore.open import open_model_store
from katib.manager.storage.open import open_storage
from tests.storage.builders import completed, make_spec, make_study

PARAMETERS = (Parameter("rate", ParameterType.DOUBLE, "0.1"), Parameter("🎲", ParameterType.CATEGORICAL, "a'b\\"))
SAVED_AT = datetime(2026, 11, 25, 9, 30, 15, 123457, tzinfo=UTC)


def make_model(study, trial="t1", **fields):
    base = {"parameters": (), "metrics": (), "model_path": "pvc:/logs/1", "saved_at": SAVED_AT}
    return SavedModel(study, trial, **{**base, **fields})


def all_of(store, study, page_size=1000):
    found, token = [], ""
    while True:
        page = store.saved_models(study, page_size, token)
        assert len(page.items) <= page_size
        found += page.items
        token = page.next_token
        if not token:
            return found


def finished(storage, store_study, *values):
    """Trials that have ended, and what is to be kept of them."""
    return [
        FinishedTrial(
            trial,
            make_model(
                store_study.spec.name,
                trial.id,
                parameters=trial.parameters,
                metrics=(("accuracy", repr(trial.objective)),),
                study_id=store_study.id,
                number=trial.number,
                state=trial.state,
                objective=trial.objective,
                kept=True,
            ),
        )
        for trial in completed(storage, store_study, *values)
    ]


@pytest.fixture
def study(storage, project):
    return storage.create_study(make_study(spec=make_spec(name=project, owner="me", task_name="words")))


# What clients save


def test_a_model_comes_back_as_it_was_saved(store, project):
    store.save_study(SavedStudy(project, "me", "a study\nof 🎲"))
    model = make_model(
        project,
        parameters=PARAMETERS,
        metrics=(("accuracy", "0.9"), ("accuracy", "nan"), ("a@5/x", "-inf")),
        data_set_name="d",
        data_set_path="/d",
    )
    store.save_model(model)
    assert store.saved_model(project, "t1") == model
    assert all_of(store, project) == [model]
    assert SavedStudy(project, "me", "a study\nof 🎲") in store.saved_studies()


def test_saving_again_replaces(store, project):
    store.save_study(SavedStudy(project, "me", "first"))
    store.save_model(make_model(project, parameters=PARAMETERS))
    store.save_study(SavedStudy(project, "you", "second"))
    store.save_model(make_model(project, model_path="elsewhere"))
    store.save_model(make_model(project, model_path="elsewhere"))
    assert [s for s in store.saved_studies() if s.name == project] == [SavedStudy(project, "you", "second")]
    assert all_of(store, project) == [make_model(project, model_path="elsewhere")]


def test_lists_are_by_name(store, project):
    names = [f"{project}-{end}" for end in ("b", "a", "B", "ä")]
    for name in names:
        store.save_study(SavedStudy(name, "", ""))
    for trial in ("t2", "t10", "t1"):
        store.save_model(make_model(names[1], trial))
    assert [s.name for s in store.saved_studies() if s.name in names] == sorted(names)
    assert [model.trial_id for model in all_of(store, names[1])] == ["t1", "t10", "t2"]
    assert all_of(store, names[0]) == []


def test_a_list_is_read_page_by_page(store, project):
    store.save_study(SavedStudy(project, "", ""))
    for trial in ("t5", "t3", "t1", "t4", "t2"):
        store.save_model(make_model(project, trial))
    for size in (1, 2, 5, 6):
        assert [model.trial_id for model in all_of(store, project, size)] == ["t1", "t2", "t3", "t4", "t5"]
    token = store.saved_models(project, 2, "").next_token
    store.save_study(SavedStudy(f"{project}-b", "", ""))
    for bad in ("x", token + "x"):
        with pytest.raises(InvalidArgumentError, match="page_token"):
            store.saved_models(project, 2, bad)
    with pytest.raises(InvalidArgumentError, match="page_token"):
        store.saved_models(f"{project}-b", 2, token)


def test_what_was_not_saved_is_not_found(store, project):
    store.save_study(SavedStudy(project, "", ""))
    store.save_model(make_model(project))
    for call in (
        lambda: store.save_model(make_model(f"{project}-other")),
        lambda: store.save_model(make_model(project.upper())),
        lambda: store.saved_models(f"{project}-other", 9, ""),
        lambda: store.saved_models(f"{project} ", 9, ""),
        lambda: store.saved_models("x" * 1000, 9, ""),
        lambda: store.saved_model(project, "t2"),
        lambda: store.saved_model(project, "T1"),
        lambda: store.saved_model(project, "' OR '1' = '1"),
        lambda: store.saved_model(project, "\"'`; DROP"),
        lambda: store.saved_model(f"{project}-other", "t1"),
    ):
        with pytest.raises(NotFoundError):
            call()


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_keys_have_a_length(store, project, name):
    store.save_study(SavedStudy(project, "", ""))
    calls = {
        "study_name": lambda: store.save_study(SavedStudy(name, "", "")),
        "model.study_name": lambda: store.save_model(make_model(name)),
        "model.trial_id": lambda: store.save_model(make_model(project, name)),
    }
    for field, call in calls.items():
        with pytest.raises(InvalidArgumentError) as caught:
            call()
        assert caught.value.violations[0].field == field


def test_the_longest_keys_fit(store, project):
    name = project + "🎲" * (255 - len(project))
    store.save_study(SavedStudy(name, "", ""))
    store.save_model(make_model(name, "🎲" * 255))
    assert store.saved_model(name, "🎲" * 255).trial_id == "🎲" * 255


def test_long_words_fit(store, project):
    store.save_study(SavedStudy(project, "", ""))
    model = make_model(
        project,
        parameters=tuple(Parameter(f"p{i}", ParameterType.CATEGORICAL, "v" * 900) for i in range(60)),
        model_path="/" + "m" * 5000,
    )
    store.save_model(model)
    assert store.saved_model(project, "t1") == model


# What the manager keeps


def test_a_finished_trials_model_is_kept_once(storage, store, study):
    trials = finished(storage, study, 0.25, 0.75)
    store.keep(study, trials[:1])
    for _ in range(2):
        store.keep(study, trials)
    assert all_of(store, study.spec.name) == sorted((of.model for of in trials), key=lambda model: model.trial_id)
    assert SavedStudy(study.spec.name, "me", "words") in store.saved_studies()


def test_a_study_is_a_project_before_any_trial_has_finished(store, study):
    store.keep(study, ())
    assert all_of(store, study.spec.name) == []


def test_the_project_that_a_client_has_saved_stays(store, study):
    store.save_study(SavedStudy(study.spec.name, "you", "mine"))
    store.keep(study, ())
    assert SavedStudy(study.spec.name, "you", "mine") in store.saved_studies()


def test_what_a_client_has_saved_is_completed_and_never_replaced(storage, store, study):
    (of,) = finished(storage, study, 0.25)
    store.save_study(SavedStudy(study.spec.name, "", ""))
    mine = make_model(study.spec.name, of.trial.id, model_path="s3://mine", metrics=(("f1", "0.5"),))
    store.save_model(mine)
    for _ in range(2):
        store.keep(study, [of])
    whole = replace(
        mine,
        parameters=of.trial.parameters,
        study_id=study.id,
        number=1,
        state=TrialState.COMPLETED,
        objective=0.25,
    )
    assert store.saved_model(study.spec.name, of.trial.id) == whole
    assert store.kept_models(study) == []
    store.remove(study, [of.trial.id])
    assert store.saved_model(study.spec.name, of.trial.id) == whole


def test_what_the_manager_knows_stays_when_a_client_saves_later(storage, store, study):
    (of,) = finished(storage, study, 0.25)
    store.keep(study, [of])
    mine = make_model(study.spec.name, of.trial.id, model_path="s3://mine")
    store.save_model(mine)
    found = store.saved_model(study.spec.name, of.trial.id)
    assert found == replace(mine, study_id=study.id, number=1, state=TrialState.COMPLETED, objective=0.25)
    assert store.kept_models(study) == []


def test_kept_models_are_those_of_one_study(storage, store, study):
    other = storage.create_study(make_study(spec=study.spec))
    mine, others = finished(storage, study, 0.5, 0.25), finished(storage, other, 0.75)
    store.keep(study, mine)
    store.keep(other, others)
    ids = {of.trial.id for of in mine}
    assert {model.trial_id for model in store.kept_models(study)} == ids
    assert len(all_of(store, study.spec.name)) == 3
    store.remove(study, [mine[0].trial.id, "t-none"])
    store.remove(study, [mine[0].trial.id])
    assert {model.trial_id for model in all_of(store, study.spec.name)} == {mine[1].trial.id, others[0].trial.id}


def test_models_outlive_their_study(storage, store, study):
    trials = finished(storage, study, 0.25)
    store.keep(study, trials)
    storage.delete_study(study.id)
    assert store.saved_model(study.spec.name, trials[0].trial.id).number == 1


def test_models_are_there_when_the_store_is_opened_again(kind, storage, storage_url, where, store, project):
    if kind == "memory":
        return
    store.save_study(SavedStudy(project, "", ""))
    store.save_model(make_model(project))
    storage.close()
    with closing(open_storage(storage_url)) as again:
        assert open_model_store(again, where).saved_model(project, "t1") == make_model(project)
