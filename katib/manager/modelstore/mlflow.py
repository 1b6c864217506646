"""The model store as an MLflow tracking server: a study is an experiment of its name, a trial is a run.

A run has the trial's parameters, its whole metric history, its state as status, and tags: `katib.trial_id`, `katib.key` (its
hash, by which it is found), `katib.study_id`, `katib.number`, `katib.state`, `katib.model_path`, the trial's own tags as
`katib.tag.<name>`, and in `katib.record.<i>` the record itself, since MLflow takes fewer names and shorter values than Katib.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TypeVar

from katib.domain.errors import FailedPreconditionError, NotFoundError
from katib.domain.metrics import Observation
from katib.domain.models import SavedModel, SavedStudy, completed_by, with_known
from katib.domain.study import Study
from katib.domain.trial import Trial, TrialState
from katib.domain.views import Page, pages
from katib.manager.models import FinishedTrial
from katib.manager.modelstore import mlflow_names as names
from katib.manager.modelstore.keys import check_model, check_study, project_of
from katib.manager.modelstore.mlflow_api import MAX_METRICS, MAX_PARAMS, MAX_TAGS, Json, MlflowApi
from katib.manager.modelstore.records import record_from_text, record_to_text
from katib.manager.ports import Storage
from katib.manager.storage.tokens import MODEL_KEY, make_token, model_list, read_token

_log: Final = logging.getLogger(__name__)

_STUDY: Final = "katib.study"
_OWNER: Final = "katib.owner"
_NOTE: Final = "mlflow.note.content"
_TRIAL: Final = "katib.trial_id"
_KEY: Final = "katib.key"
_KEPT: Final = "katib.kept"
_RECORD: Final = "katib.record."
# A tag's value may have 5,000 bytes in older servers; the record is ASCII.
_RECORD_PART: Final = 4000
_STATUS: Final = {TrialState.COMPLETED: "FINISHED", TrialState.KILLED: "KILLED", TrialState.ERROR: "FAILED"}

T = TypeVar("T")


class MlflowModelStore:
    def __init__(self, address: str, storage: Storage) -> None:
        """`address` of the server, http(s)://…; `storage`: where the metric histories are read. Nothing is asked yet."""
        self._api: Final = MlflowApi(address)
        self._storage = storage
        self.name: Final = f"mlflow+{self._api.address}"[:255]

    def save_study(self, study: SavedStudy) -> None:
        check_study(study)
        tags = {_STUDY: "1", _OWNER: study.owner, _NOTE: study.description}
        experiment = self._own(study.name)
        if experiment is None:
            experiment = self._create(study.name, tags)
        self._api.tag_experiment(experiment, tags)

    def save_model(self, model: SavedModel) -> None:
        check_model(model)
        experiment = self._required(model.study_name, self._own(model.study_name))
        before = self._find(experiment, model.trial_id)
        if before is not None:
            model = with_known(model, _model(before, model.study_name))
        run = _run_id(before) if before is not None else self._begin(experiment, model, _millis(model.saved_at))
        if before is None or _tags(before).get(_KEPT) is None:
            self._log_parameters(run, model)
        fitting, at = names.Names(), _millis(model.saved_at)
        values = [_metric(fitting.of(name), text, at, 0) for name, text in dict(model.metrics).items()]
        self._log(run, values)
        self._api.end_run(run, _status(model), _millis(model.saved_at))
        self._tag(run, model, {})

    def saved_studies(self) -> Sequence[SavedStudy]:
        found = [
            SavedStudy(experiment["name"], tags.get(_OWNER, ""), tags.get(_NOTE, ""))
            for experiment in self._api.experiments(f"tags.`{_STUDY}` = '1'")
            for tags in [_tags(experiment)]
        ]
        return sorted(found, key=lambda study: study.name)

    def saved_models(self, study_name: str, page_size: int, page_token: str) -> Page[SavedModel]:
        list_ = model_list(study_name)
        (after,) = read_token(list_, page_token, MODEL_KEY) if page_token else ("",)
        experiment = self._required(study_name, self._experiment(study_name))
        runs, token = self._api.page_of_runs(
            experiment, f"tags.`{_KEY}` != ''", [f"tags.`{_TRIAL}` ASC"], page_size, after
        )
        return Page([_model(run, study_name) for run in runs], make_token(list_, (token,)) if token else "")

    def saved_model(self, study_name: str, trial_id: str) -> SavedModel:
        experiment = self._experiment(study_name)
        run = self._find(experiment, trial_id) if experiment is not None else None
        if run is None:
            raise NotFoundError(f"no model of trial {trial_id} was saved in study {study_name}")
        return _model(run, study_name)

    def keep(self, study: Study, finished: Sequence[FinishedTrial]) -> None:
        experiment = self._own(study.spec.name)
        if experiment is None:
            project = project_of(study)
            tags = {_STUDY: "1", _OWNER: project.owner, _NOTE: project.description}
            experiment = self._create(project.name, tags | names.tags(study.spec.tags))
        for of in finished:
            try:
                self._keep_or_join(experiment, of.trial, of.model)
            except FailedPreconditionError as error:
                # It would refuse it again, and those after it are to be kept too.
                _log.warning("the model of trial %s of study %s is not kept: %s", of.trial.id, study.id, error)

    def kept_models(self, study: Study) -> Sequence[SavedModel]:
        experiment = self._experiment(study.spec.name)
        if experiment is None:
            return []
        runs = self._api.runs(experiment, f"tags.`{_KEPT}` = '1' AND tags.`katib.study_id` = '{study.id}'")
        return [_model(run, study.spec.name) for run in runs]

    def remove(self, study: Study, trial_ids: Sequence[str]) -> None:
        experiment = self._experiment(study.spec.name)
        for trial_id in trial_ids if experiment is not None else ():
            run = self._find(experiment, trial_id)
            if run is not None and _tags(run).get(_KEPT) == "1":
                self._api.delete_run(_run_id(run))

    def close(self) -> None:
        self._api.close()

    # Keeping

    def _keep_or_join(self, experiment: str, trial: Trial, model: SavedModel) -> None:
        try:
            self._keep(experiment, trial, model)
        except FailedPreconditionError:
            # Another manager, which keeps it at this moment, may have removed the run that was begun here. That one may end
            # before its own run is whole, and what is said to be delivered here nobody looks at again.
            self._keep(experiment, trial, model)

    def _keep(self, experiment: str, trial: Trial, model: SavedModel) -> None:
        run = self._find(experiment, trial.id)
        if run is not None and (complete := _tags(run).get(_KEPT)) is not None:
            if complete == "1" or _model(run, model.study_name).study_id:
                return  # kept before, or completed
            model = completed_by(_model(run, model.study_name), model)
        run_id = _run_id(run) if run is not None else self._begin(experiment, model, _millis(trial.started_at))
        if run is None or _tags(run).get(_KEPT) is None:
            self._log_parameters(run_id, model)
        counts: Counter[str] = Counter()
        fitting = names.Names()
        for page in self._history(trial):
            self._log(run_id, [_observed(observation, counts, fitting) for observation in page])
        self._api.end_run(run_id, _status(model), _millis(trial.ended_at))
        self._tag(run_id, model, {"katib.number": str(trial.number), **names.tags(trial.tags)})

    def _begin(self, experiment: str, model: SavedModel, start_ms: int) -> str:
        """A new run; of two that are begun at once for a trial, one stays."""
        name = f"trial {model.number}" if model.number else model.trial_id
        run = self._api.create_run(experiment, name, start_ms, {_TRIAL: model.trial_id, _KEY: _key(model.trial_id)})
        there = sorted(self._api.runs(experiment, _of_trial(model.trial_id)), key=_rank)
        for other in there[1:]:
            self._api.delete_run(_run_id(other))
        return _run_id(there[0]) if there else run

    def _log_parameters(self, run: str, model: SavedModel) -> None:
        """The same again changes nothing; other values than before would be refused."""
        params = names.unique((p.name, p.value) for p in model.parameters)
        for some in _chunks(params.items(), MAX_PARAMS):
            self._api.log(run, params=dict(some))

    def _tag(self, run: str, model: SavedModel, others: Mapping[str, str]) -> None:
        """Last of all, and what says that the run is whole comes last in it."""
        text = record_to_text(model)
        parts = [text[i : i + _RECORD_PART] for i in range(0, len(text), _RECORD_PART)]
        tags = {
            **others,
            **{f"{_RECORD}{i}": part for i, part in enumerate(parts)},
            "katib.study_id": model.study_id,
            "katib.state": model.state.value if model.state else "",
            "katib.model_path": model.model_path[:4000],
            f"{_RECORD}parts": str(len(parts)),
            _KEPT: "1" if model.kept else "0",
        }
        for some in _chunks(tags.items(), MAX_TAGS):
            self._api.log(run, tags=dict(some))

    def _log(self, run: str, metrics: Sequence[Json]) -> None:
        for some in _chunks(metrics, MAX_METRICS):
            self._api.log(run, metrics=list(some))

    def _history(self, trial: Trial) -> Iterator[Sequence[Observation]]:
        try:
            for page in pages(
                lambda token: self._storage.list_observations(trial.id, trial.attempt, (), MAX_METRICS, token)
            ):
                yield page.items
        except NotFoundError:
            return  # deleted meanwhile

    # Finding

    def _experiment(self, name: str) -> str | None:
        """One that somebody else has made is none of Katib's."""
        found = self._find_experiment(name)
        return str(found["experiment_id"]) if found is not None and _STUDY in _tags(found) else None

    def _own(self, name: str) -> str | None:
        """To write to. Raises FailedPreconditionError where the name is taken."""
        found = self._find_experiment(name)
        if found is not None and _STUDY not in _tags(found):
            raise FailedPreconditionError(
                f"experiment {name!r} in MLflow is not of Katib's making, and is left as it is: give the study another name, "
                f"or the experiment the tag {_STUDY} with the value 1 to have its models there"
            )
        return str(found["experiment_id"]) if found is not None else None

    def _find_experiment(self, name: str) -> Json | None:
        found = self._api.find_experiment(name) if name else None
        if found is None:
            return None
        if found.get("lifecycle_stage") == "deleted":
            raise FailedPreconditionError(
                f"experiment {name!r} was deleted in MLflow: restore it there, or remove it for good, to keep its models"
            )
        return found

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        try:
            return self._api.create_experiment(name, tags)
        except FailedPreconditionError:
            # Somebody else was faster; or else this raises why.
            return self._required(name, self._own(name))

    @staticmethod
    def _required(name: str, experiment: str | None) -> str:
        if experiment is None:
            raise NotFoundError(f"no study {name} was saved")
        return experiment

    def _find(self, experiment: str | None, trial_id: str) -> Json | None:
        if experiment is None:
            return None
        return min(self._api.runs(experiment, _of_trial(trial_id)), key=_rank, default=None)


def _of_trial(trial_id: str) -> str:
    return f"tags.`{_KEY}` = '{_key(trial_id)}'"


def _key(trial_id: str) -> str:
    """A client's ids may have any characters, and MLflow's filters know no way to quote a quote."""
    return hashlib.sha256(trial_id.encode(errors="surrogatepass")).hexdigest()


def _tags(found: Json) -> dict[str, str]:
    tags = found.get("data", found).get("tags", ())
    return {tag["key"]: tag.get("value", "") for tag in tags}


def _run_id(run: Json) -> str:
    return str(run["info"]["run_id"])


def _rank(run: Json) -> tuple[bool, str]:
    """Of several of a trial the least one stays: one that is whole before one that is not, whoever begins which."""
    return _KEPT not in _tags(run), _run_id(run)


def _model(run: Json, study_name: str) -> SavedModel:
    tags = _tags(run)
    text = "".join(tags.get(f"{_RECORD}{i}", "") for i in range(int(tags.get(f"{_RECORD}parts", "0"))))
    if not text:
        # Begun, and broken off before it was whole; whoever began it comes back to it.
        return SavedModel(study_name, tags.get(_TRIAL, ""), (), (), "")
    return record_from_text(text)


def _observed(observation: Observation, counts: Counter[str], fitting: names.Names) -> Json:
    """`counts` gives steps to observations that have none: by order, by metric."""
    counts[observation.name] += 1
    step = counts[observation.name] if observation.step is None else observation.step
    return _metric(fitting.of(observation.name), repr(observation.value), _millis(observation.time), step)


def _metric(name: str, text: str, time_ms: int, step: int) -> Json:
    return {"key": name, "value": names.number(text), "timestamp": time_ms, "step": step}


def _status(model: SavedModel) -> str:
    return _STATUS.get(model.state, "FINISHED") if model.state else "FINISHED"


def _millis(time: datetime | None) -> int:
    return int((time or datetime.now(UTC)).timestamp() * 1000)


def _chunks(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while some := tuple(islice(iterator, size)):
        yield some
