"""The contract of `manager.models.ModelStore`, in memory and in the databases."""

from contextlib import closing

import pytest

from katib.domain.errors import InvalidArgumentError, NotFoundError
from katib.domain.search_space import Parameter, ParameterType
from katib.manager.models import SavedModel, SavedStudy
from katib.manager.modelstore.open import open_model_store
from katib.manager.storage.open import open_storage
from tests.storage import servers
from tests.storage.builders import make_study

PARAMETERS = (Parameter("rate", ParameterType.DOUBLE, "0.1"), Parameter("🎲", ParameterType.CATEGORICAL, "a'b\\"))


def make_model(study="digits", trial="t1", **fields):
    return SavedModel(study, trial, **{"parameters": (), "metrics": (), "model_path": "pvc:/logs/1", **fields})


@pytest.fixture(params=["memory", "sqlite", *servers.KINDS])
def storage(request):
    url = "memory://" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")
    with closing(open_storage(url)) as storage:
        yield storage


@pytest.fixture
def store(storage):
    return open_model_store(storage)


def test_a_model_comes_back_as_it_was_saved(store):
    store.save_study(SavedStudy("digits", "me", "a study\nof 🎲"))
    model = make_model(
        parameters=PARAMETERS, metrics=(("accuracy", "0.9"), ("accuracy", "nan")), data_set_name="d", data_set_path="/d"
    )
    store.save_model(model)
    assert store.saved_model("digits", "t1") == model
    assert list(store.saved_models("digits")) == [model]
    assert list(store.saved_studies()) == [SavedStudy("digits", "me", "a study\nof 🎲")]


def test_saving_again_replaces(store):
    store.save_study(SavedStudy("digits", "me", "first"))
    store.save_model(make_model(parameters=PARAMETERS))
    store.save_study(SavedStudy("digits", "you", "second"))
    store.save_model(make_model(model_path="elsewhere"))
    store.save_model(make_model(model_path="elsewhere"))
    assert list(store.saved_studies()) == [SavedStudy("digits", "you", "second")]
    assert list(store.saved_models("digits")) == [make_model(model_path="elsewhere")]


def test_lists_are_by_name(store):
    for name in ("b", "a", "B", "ä"):
        store.save_study(SavedStudy(name, "", ""))
    for trial in ("t2", "t10", "t1"):
        store.save_model(make_model("a", trial))
    assert [study.name for study in store.saved_studies()] == ["B", "a", "b", "ä"]
    assert [model.trial_id for model in store.saved_models("a")] == ["t1", "t10", "t2"]
    assert list(store.saved_models("b")) == []


def test_what_was_not_saved_is_not_found(store):
    store.save_study(SavedStudy("digits", "", ""))
    store.save_model(make_model())
    for call in (
        lambda: store.save_model(make_model("other")),
        lambda: store.save_model(make_model("Digits")),
        lambda: store.saved_models("other"),
        lambda: store.saved_models("digits "),
        lambda: store.saved_models("x" * 1000),
        lambda: store.saved_model("digits", "t2"),
        lambda: store.saved_model("digits", "T1"),
        lambda: store.saved_model("other", "t1"),
    ):
        with pytest.raises(NotFoundError):
            call()


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_keys_have_a_length(store, name):
    store.save_study(SavedStudy("digits", "", ""))
    calls = {
        "study_name": lambda: store.save_study(SavedStudy(name, "", "")),
        "model.study_name": lambda: store.save_model(make_model(name)),
        "model.trial_id": lambda: store.save_model(make_model("digits", name)),
    }
    for field, call in calls.items():
        with pytest.raises(InvalidArgumentError) as caught:
            call()
        assert caught.value.violations[0].field == field


def test_the_longest_keys_fit(store):
    name = "🎲" * 255
    store.save_study(SavedStudy(name, "", ""))
    store.save_model(make_model(name, name))
    assert store.saved_model(name, name).trial_id == name


def test_models_have_nothing_to_do_with_the_studies_of_the_storage(storage, store):
    study = storage.create_study(make_study())
    store.save_study(SavedStudy("digits", "", ""))
    store.save_model(make_model(trial=study.id))
    storage.delete_study(study.id)
    assert store.saved_model("digits", study.id).trial_id == study.id


@pytest.mark.parametrize("kind", ["sqlite", *servers.KINDS])
def test_models_are_there_after_the_database_was_opened_again(request, kind):
    url = request.getfixturevalue(f"{kind}_url")
    with closing(open_storage(url)) as storage:
        store = open_model_store(storage)
        store.save_study(SavedStudy("digits", "", ""))
        store.save_model(make_model())
    with closing(open_storage(url)) as storage:
        assert open_model_store(storage).saved_model("digits", "t1") == make_model()
