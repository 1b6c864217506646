"""Two managers that keep the same trials at an MLflow server at the same moment, as they do of a study that clients drive."""

import logging
from contextlib import closing

import pytest

from katib.manager.keeper import Keeper
from katib.manager.modelstore.open import open_deliveries, open_model_store
from tests.modelstore.keeping import QUICK, end, worker
from tests.modelstore.test_mlflow import pairs, runs_of
from tests.storage.builders import make_spec, make_study

__all__ = ["worker"]

pytestmark = pytest.mark.slow


@pytest.fixture
def kind():
    return "mlflow"


@pytest.fixture
def stores(storage, mlflow_address):
    """One of each manager."""
    with (
        closing(open_model_store(storage, f"mlflow+{mlflow_address}")) as one,
        closing(open_model_store(storage, f"mlflow+{mlflow_address}")) as other,
    ):
        yield one, other


def whole(address, project):
    """How many runs there are that are whole; and every one is."""
    runs = runs_of(address, project)
    assert {(run["info"]["status"], pairs(run["data"]["tags"]).get("katib.kept")) for run in runs.values()} == {
        ("FINISHED", "1")
    }
    return len(runs)


def test_what_another_manager_has_kept_whole_stays_though_this_one_began_a_run_before_and_dies(
    storage, worker, stores, mlflow_address, project
):
    one, other = stores
    study = storage.create_study(make_study(spec=make_spec(name=project)))
    # Which of two is the lesser by its id is chance.
    end(storage, worker, study, *(i / 8 for i in range(8)))
    finished = []
    one.keep, keep = lambda study_, some: finished.extend(some) or keep(study_, some), one.keep
    Keeper(storage, one, open_deliveries(storage), worker, pace=QUICK).keep(storage.get_study(study.id))
    assert len(finished) == 8
    experiment = other._experiment(project)
    for of in finished:
        # It had looked before the other had begun, and this is all that it comes to.
        other._begin(experiment, of.model, 0)
    assert whole(mlflow_address, project) == 8


def test_a_run_that_another_manager_has_removed_and_left_its_own_of_is_made_whole_by_this_one(
    storage, worker, stores, mlflow_address, project, caplog
):
    one, other = stores
    study = storage.create_study(make_study(spec=make_spec(name=project)))
    end(storage, worker, study, 0.5)
    log = one._api.log

    def after_the_other(run, **what):
        one._api.log = log
        (model,) = begun
        one._api.delete_run(run)
        other._begin(one._experiment(project), model, 0)
        log(run, **what)

    begun, begin = [], one._begin
    one._begin = lambda experiment, model, at: begun.append(model) or begin(experiment, model, at)
    one._api.log = after_the_other
    with caplog.at_level(logging.WARNING):
        Keeper(storage, one, open_deliveries(storage), worker, pace=QUICK).keep(storage.get_study(study.id))
    assert caplog.messages == []
    assert whole(mlflow_address, project) == 1
