"""A keeper, what it works with, and trials that have ended."""

from contextlib import closing
from pathlib import Path

import pytest

from katib.domain.names import run_name
from katib.manager.changes import StudyChanges
from katib.manager.keeper import Keeper, Pace
from katib.manager.modelstore.open import open_deliveries, open_model_store
from katib.manager.storage.open import open_storage
from katib.worker.local.worker import LocalWorker
from tests.storage.builders import COMPLETED, NOW, RUNNING, add, go, intake, make_spec, make_study, move, observe

QUICK = Pace(gather=0.01, look=0.2, first_pause=0.05, longest_pause=0.2)


@pytest.fixture(params=["memory", "sqlite"])
def storage(request):
    url = "memory://" if request.param == "memory" else request.getfixturevalue("sqlite_url")
    with closing(open_storage(url)) as storage:
        yield storage


@pytest.fixture
def store(storage):
    return open_model_store(storage)


@pytest.fixture
def worker(tmp_path):
    with closing(LocalWorker(tmp_path / "data")) as worker:
        yield worker


@pytest.fixture
def keeper(storage, store, worker):
    """One that keeps when it is told."""
    return Keeper(storage, store, open_deliveries(storage), worker, pace=QUICK, now=lambda: NOW)


def end(storage, worker, study, *values, to=COMPLETED, model="weights", says=""):
    """Trials that ran and ended, each with one value of the objective and, unless it is empty, a model. `says`: where their
    programs said that it is, `{place}` being the one that they were given."""
    trials = []
    for value, trial in zip(values, add(storage, study, len(values)), strict=True):
        name = run_name(trial.id, 1)
        (trial,) = go(storage, trial, to=RUNNING, run=name, at=NOW)
        folder = Path(worker._data, "runs", study.id, name)
        folder.mkdir(parents=True)
        if model:
            (folder / "model").mkdir()
            (folder / "model" / "weights").write_text(model)
        observations = [] if value is None else [observe(value), observe(1 - value, "loss")]
        changes = StudyChanges(
            intakes=(intake(trial, *observations, model_path=says.format(place=folder / "model")),),
            moves=(move(trial, to),),
        )
        trials.append(storage.apply(study.id, changes).trials[trial.id])
    return trials


def kept(store, name="digits"):
    return {model.number: model for model in store.saved_models(name, 1000, "").items}


def files(worker, study):
    return sorted(path.parent.name for path in Path(worker._data, "runs", study.id).glob("*/model"))


def new_study(storage, **fields):
    return storage.create_study(make_study(spec=make_spec(**fields)))
