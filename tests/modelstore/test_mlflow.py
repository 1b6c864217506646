"""What MLflow's own users see of a study, and what its outage does to it: nothing."""

import json
import math
from collections import Counter
from contextlib import closing
from urllib.request import Request, urlopen

import pytest

from katib.domain.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError, UnavailableError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.names import new_id, run_name
from katib.domain.trial import Tag
from katib.manager.changes import StudyChanges
from katib.manager.keeper import Keeper, Pace
from katib.manager.modelstore import mlflow_names
from katib.manager.modelstore.mlflow import MlflowModelStore
from katib.manager.modelstore.open import open_deliveries, open_model_store
from katib.manager.storage.open import open_storage
from katib.worker.local.worker import LocalWorker
from tests.modelstore import mlflow
from tests.modelstore.test_keeper import QUICK, end, until
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


@pytest.fixture
def storage(sqlite_url):
    with closing(open_storage(sqlite_url)) as storage:
        yield storage


@pytest.fixture
def worker(tmp_path):
    with closing(LocalWorker(tmp_path / "data")) as worker:
        yield worker


def ask(address, path, body):
    request = Request(
        f"{address}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def runs_of(address, name):
    with urlopen(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}", timeout=30) as answer:
        experiment = json.load(answer)["experiment"]["experiment_id"]
    found = ask(address, "runs/search", {"experiment_ids": [experiment], "max_results": 1000}).get("runs", [])
    return {run["info"]["run_name"]: run for run in found}


def pairs(items):
    return {item["key"]: item["value"] for item in items}


@pytest.mark.slow
class TestOnAServer:
    def test_a_trial_is_a_run_with_parameters_history_status_and_tags(self, storage, worker, mlflow_address, project):
        store = open_model_store(storage, f"mlflow+{mlflow_address}")
        spec = make_spec(name=project, owner="me", tags=(Tag("team@x", "vision"), Tag("a//b", "")))
        study = storage.create_study(make_study(spec=spec))
        (trial,) = add(storage, study)
        (trial,) = go(storage, trial, to=RUNNING, run=run_name(trial.id, 1), at=NOW)
        values = [0.1, math.nan, math.inf, 0.4]
        observations = [observe(v, "a@5/x", step=10 * i) for i, v in enumerate(values)] + [observe(0.5)]
        storage.apply(study.id, StudyChanges(intakes=(intake(trial, *observations),), moves=(move(trial, COMPLETED),)))
        for value, state in ((0.2, KILLED), (None, ERROR)):
            end(storage, worker, study, value, to=state)
        Keeper(storage, store, open_deliveries(storage), worker, pace=QUICK).keep(storage.get_study(study.id))

        runs = runs_of(mlflow_address, project)
        assert {name: run["info"]["status"] for name, run in runs.items()} == {
            "trial 1": "FINISHED",
            "trial 2": "KILLED",
            "trial 3": "FAILED",
        }
        run = runs["trial 1"]
        assert pairs(run["data"]["params"]) == {"rate": "0.1", "kind": "a b"}
        assert pairs(run["data"]["metrics"]) == {"a_5/x": 0.4, "accuracy": 0.5}
        tags = pairs(run["data"]["tags"])
        assert (tags["katib.trial_id"], tags["katib.study_id"], tags["katib.state"]) == (
            trial.id,
            study.id,
            "COMPLETED",
        )
        assert (tags["katib.number"], tags["katib.tag.bracket"]) == ("1", "3")
        assert pairs(runs["trial 2"]["data"]["tags"])["katib.model_path"].endswith("/model")
        where = f"run_id={run['info']['run_id']}&metric_key=a_5/x"
        with urlopen(f"{mlflow_address}/api/2.0/mlflow/metrics/get-history?{where}", timeout=30) as answer:
            history = sorted((m["step"], m["value"]) for m in json.load(answer)["metrics"])
        assert [step for step, _ in history] == [0, 10, 20, 30]
        assert history[1][1] in ("NaN", None) or math.isnan(float(history[1][1]))

    def test_a_trial_takes_seven_requests(self, storage, worker, mlflow_address, project):
        store = open_model_store(storage, f"mlflow+{mlflow_address}")
        study = storage.create_study(make_study(spec=make_spec(name=project)))
        store.keep(study, ())
        end(storage, worker, study, 0.5, 0.25)
        sent, send = [], store._api._send
        store._api._send = lambda method, path, **how: sent.append(path) or send(method, path, **how)
        Keeper(storage, store, open_deliveries(storage), worker, pace=QUICK).keep(storage.get_study(study.id))
        assert len(store.saved_models(project, 9, "").items) == 2
        asked = Counter(path for path in sent if path.startswith("runs/"))
        # Of which the last search is this test's own.
        assert asked == {"runs/search": 5, "runs/create": 2, "runs/log-batch": 6, "runs/update": 2}

    def test_a_history_longer_than_one_request_is_whole(self, storage, worker, mlflow_address, project):
        store = open_model_store(storage, f"mlflow+{mlflow_address}")
        study = storage.create_study(make_study(spec=make_spec(name=project)))
        (trial,) = add(storage, study)
        (trial,) = go(storage, trial, to=RUNNING, run=run_name(trial.id, 1), at=NOW)
        many = intake(trial, *(observe(i / 2500) for i in range(2500)))
        storage.apply(study.id, StudyChanges(intakes=(many,), moves=(move(trial, COMPLETED),)))
        Keeper(storage, store, open_deliveries(storage), worker, pace=QUICK).keep(storage.get_study(study.id))
        run = runs_of(mlflow_address, project)["trial 1"]["info"]["run_id"]
        found, token = [], ""
        while True:
            where = f"run_id={run}&metric_key=accuracy&max_results=1000&page_token={token}"
            with urlopen(f"{mlflow_address}/api/2.0/mlflow/metrics/get-history?{where}", timeout=30) as answer:
                page = json.load(answer)
            found += [m["step"] for m in page["metrics"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        assert sorted(found) == list(range(1, 2501))

    def test_a_run_that_was_broken_off_is_finished_and_not_made_twice(self, storage, worker, mlflow_address, project):
        store = open_model_store(storage, f"mlflow+{mlflow_address}")
        study = storage.create_study(make_study(spec=make_spec(name=project)))
        end(storage, worker, study, 0.5)

        def cut(*_arguments, **_named):
            raise RuntimeError("cut off")

        for method in ("log", "end_run", "_tag"):
            broken = MlflowModelStore(mlflow_address, storage)
            setattr(broken if method == "_tag" else broken._api, method, cut)
            with pytest.raises(RuntimeError, match="cut off"):
                Keeper(storage, broken, open_deliveries(storage), worker, pace=QUICK).keep(storage.get_study(study.id))
        Keeper(storage, store, open_deliveries(storage), worker, pace=QUICK).keep(storage.get_study(study.id))
        (run,) = runs_of(mlflow_address, project).values()
        assert (run["info"]["status"], pairs(run["data"]["params"])) == ("FINISHED", {"rate": "0.1", "kind": "a b"})
        assert [model.objective for model in store.saved_models(project, 9, "").items] == [0.5]

    def test_an_experiment_that_was_deleted_there_is_a_clear_refusal(self, storage, mlflow_address, project):
        store = open_model_store(storage, f"mlflow+{mlflow_address}")
        store.save_study(SavedStudy(project, "", ""))
        ask(mlflow_address, "experiments/delete", {"experiment_id": store._experiment(project)})
        with pytest.raises(FailedPreconditionError, match="restore it there"):
            store.save_model(SavedModel(project, new_id(), (), (), "/m"))

    def test_an_experiment_of_somebody_else_is_left_as_it_is(self, storage, mlflow_address, project):
        store = open_model_store(storage, f"mlflow+{mlflow_address}")
        note = {"key": "mlflow.note.content", "value": "theirs"}
        theirs = ask(mlflow_address, "experiments/create", {"name": project, "tags": [note]})["experiment_id"]
        study = storage.create_study(make_study(spec=make_spec(name=project)))
        for write in (
            lambda: store.save_study(SavedStudy(project, "me", "mine now")),
            lambda: store.save_model(SavedModel(project, new_id(), (), (), "/m")),
            lambda: store.keep(study, ()),
        ):
            with pytest.raises(FailedPreconditionError, match="not of Katib's making"):
                write()
        assert store.kept_models(study) == []
        with pytest.raises(NotFoundError):
            store.saved_models(project, 9, "")
        assert runs_of(mlflow_address, project) == {}
        with urlopen(f"{mlflow_address}/api/2.0/mlflow/experiments/get?experiment_id={theirs}", timeout=30) as answer:
            assert pairs(json.load(answer)["experiment"]["tags"])["mlflow.note.content"] == "theirs"
        # Unless it is given to Katib.
        ask(
            mlflow_address,
            "experiments/set-experiment-tag",
            {"experiment_id": theirs, "key": "katib.study", "value": "1"},
        )
        store.keep(study, ())
        store.save_model(SavedModel(project, "by hand", (), (), "/m"))
        assert [m.trial_id for m in store.saved_models(project, 9, "").items] == ["by hand"]

    def test_its_outage_hurts_no_study_and_what_was_missed_is_sent_later(self, storage, worker, project, caplog):
        with mlflow.started() as server:
            store = open_model_store(storage, f"mlflow+{server.address}")
            keeper = Keeper(storage, store, open_deliveries(storage), worker, pace=Pace(0.01, 0.5, 0.1, 0.5))
            keeper.start()
            try:
                study = storage.create_study(make_study(spec=make_spec(name=project)))
                end(storage, worker, study, 0.1)
                until(lambda: len(kept_in(store, project)) == 1, 60)
                server.stop()
                end(storage, worker, study, 0.2, 0.3)
                until(lambda: any("kept later" in record.getMessage() for record in caplog.records), 60)
                with pytest.raises(UnavailableError, match="cannot be reached"):
                    store.saved_studies()
                server.start()
                until(lambda: len(kept_in(store, project)) == 3, 60)
            finally:
                keeper.close()


def kept_in(store, name):
    return store.saved_models(name, 1000, "").items if name in [s.name for s in store.saved_studies()] else []


# Without a server


@pytest.mark.parametrize("where", ["", "mlflow", "http://h:1", "mlflow+ftp://h", "sqlite:///x.db", "Database"])
def test_an_address_of_no_model_store_is_refused(storage, where):
    with pytest.raises(InvalidArgumentError, match="--model-store"):
        open_model_store(storage, where)


def test_a_server_that_is_not_there_is_unavailable(storage, unused_port):
    store = open_model_store(storage, f"mlflow+http://me:secret@127.0.0.1:{unused_port}")
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        store.saved_studies()
    assert "secret" not in str(caught.value)
    assert "secret" not in store.name


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("accuracy", "accuracy"),
        ("val/acc 1", "val/acc 1"),
        ("acc@5", "acc_5"),
        ("🎲", "_"),
        ("../up", "__up"),
        ("/a", "__a"),
        ("a//b", "_a__b"),
        (".", "_"),
    ],
)
def test_names_are_made_to_fit(name, fitting):
    assert mlflow_names.fit(name) == fitting


def test_parameters_whose_names_become_one_stay_two():
    assert mlflow_names.unique([("a@", "1"), ("a_", "2"), ("a?", "3")]) == {"a_": "1", "a__2": "2", "a__3": "3"}
    assert len(mlflow_names.unique([("p", "v" * 900)])["p"]) == 500


def test_metrics_whose_names_become_one_keep_curves_of_their_own():
    names = mlflow_names.Names()
    assert [names.of(name) for name in ("a@", "a#", "a@", "a_", "a@")] == ["a_", "a__2", "a_", "a__3", "a_"]


def test_tags_are_made_to_fit():
    tags = mlflow_names.tags([Tag("a@b", "1"), Tag("a#b", "2"), Tag("x" * 900, "3"), Tag("long", "v" * 9000)])
    assert tags["katib.tag.a_b"] == "1"
    assert tags["katib.tag.a_b_2"] == "2"
    assert max(map(len, tags)) == 250
    assert len(tags["katib.tag.long"]) == 1000
