# ruff: noqa: N802 -- gRPC names the methods
"""A manager that says what a test wants, behind the real server on a real socket; and studies and trials to say it about.

The commands against a whole Katib are in tests/e2e; here they meet what a real manager does only rarely.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerServicer, add_ManagerServicer_to_server
from katib.api.column_converters import changes_to_proto
from katib.api.model_converters import model_to_proto
from katib.api.rpc import Server
from katib.api.service_converters import service_to_proto
from katib.api.study_converters import spec_from_proto, spec_to_proto, summary_to_proto
from katib.api.trial_converters import observation_to_proto, trial_state_to_proto, trial_to_proto
from katib.domain.errors import KatibError, NotFoundError, UnimplementedError
from katib.domain.metrics import Observation
from katib.domain.models import SavedModel
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Objective, StudySpec, StudyState
from katib.domain.trial import Trial, TrialState
from katib.domain.trial_columns import TrialChanges, columns_of
from katib.domain.views import ServiceStatus, StudyDetail, StudyEvent, StudySummary

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
SPEC = StudySpec(
    name="digits",
    objective_name="accuracy",
    optimization=Objective.MAXIMIZE,
    algorithm="random",
    command=("python", "train.py"),
    parameters=(
        ParameterConfig("--lr", ParameterType.DOUBLE, FeasibleSpace(min="0.01", max="0.1")),
        ParameterConfig("--layers", ParameterType.INT, FeasibleSpace(min="1", max="5")),
        ParameterConfig("--opt", ParameterType.CATEGORICAL, FeasibleSpace(list=("sgd", "adam"))),
    ),
)


def study(id_: str = "a" + "0" * 15, **changes: Any) -> StudySummary:
    return replace(
        StudySummary(
            id=id_,
            name="digits",
            owner="ann",
            state=StudyState.RUNNING,
            reason="",
            message="",
            created_at=NOW,
            ended_at=None,
            pending=0,
            running=0,
            completed=0,
            killed=0,
            failed=0,
            best_trial_id="",
            best_objective=None,
            algorithm="random",
            early_stopping="",
            optimization=Objective.MAXIMIZE,
            objective_name="accuracy",
            max_trials=20,
            max_parallel=2,
            revision=1,
        ),
        **changes,
    )


def trial(number: int = 1, study_id: str = "a" + "0" * 15, **changes: Any) -> Trial:
    return replace(
        Trial(
            id=f"b{number:015x}",
            study_id=study_id,
            number=number,
            attempt=1,
            state=TrialState.RUNNING,
            parameters=(
                Parameter("--lr", ParameterType.DOUBLE, "0.012345678901234567"),
                Parameter("--layers", ParameterType.INT, "3"),
                Parameter("--opt", ParameterType.CATEGORICAL, "sgd"),
            ),
            created_at=NOW,
            revision=1,
            started_at=NOW + timedelta(seconds=1),
        ),
        **changes,
    )


class ScriptedManager(ManagerServicer):
    """`watches` has a script for each time that somebody begins to watch: replies, a gate to wait at, an error that breaks the
    stream off. `calls` are the requests that change something or begin to watch."""

    def __init__(self) -> None:
        self.studies: list[StudyDetail] = []
        self.trials: list[Trial] = []
        self.services: list[ServiceStatus] = []
        self.calls: list[Any] = []
        self.observations: dict[str, list[Observation]] = {}
        self.refusal: KatibError | None = None
        self.slow_to_delete = False
        self.models: list[SavedModel] = []
        self.models_given = 0
        # Before the observations of a trial are given.
        self.observing: Callable[[], object] = lambda: None
        # Before a trial is given by itself.
        self.getting: Callable[[], object] = lambda: None
        # Each call for some, with how many.
        self.observations_asked: list[tuple[str, int]] = []
        self.knows_numbers = True
        self.knows_columns = True
        self.trials_given = 0
        self.output: Callable[[int, int], pb.GetTrialLogReply] = lambda _attempt, _offset: pb.GetTrialLogReply()
        self.watches: list[list[StudyEvent | Event | KatibError]] = []

    def add(self, summary: StudySummary, spec: StudySpec = SPEC, best: Trial | None = None) -> None:
        self.studies.append(StudyDetail(summary, replace(spec, name=summary.name), best))

    def _study(self, study_id: str) -> StudyDetail:
        found = next((s for s in self.studies if s.summary.id == study_id), None)
        if found is None:
            raise NotFoundError(f"there is no study {study_id}")
        return found

    def _change(self, request: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(request)

    def CreateStudy(self, request: pb.CreateStudyRequest, context: object) -> pb.CreateStudyReply:
        self._change(request)
        self.add(study("c" + "0" * 15), spec_from_proto(request.study_config))
        return pb.CreateStudyReply(study_id="c" + "0" * 15)

    def StopStudy(self, request: pb.StopStudyRequest, context: object) -> pb.StopStudyReply:
        self._study(request.study_id)
        self._change(request)
        return pb.StopStudyReply()

    def DeleteStudy(self, request: pb.DeleteStudyRequest, context: object) -> pb.DeleteStudyReply:
        self._change(request)
        if not self.slow_to_delete:
            self.studies = [s for s in self.studies if s.summary.id != request.study_id]
        return pb.DeleteStudyReply()

    def StopTrial(self, request: pb.StopTrialRequest, context: object) -> pb.StopTrialReply:
        self._change(request)
        return pb.StopTrialReply()

    def UpdateStudy(self, request: pb.UpdateStudyRequest, context: object) -> pb.UpdateStudyReply:
        self._change(request)
        return pb.UpdateStudyReply(study=summary_to_proto(self._study(request.study_id).summary))

    def GetStudy(self, request: pb.GetStudyRequest, context: object) -> pb.GetStudyReply:
        detail = self._study(request.study_id)
        reply = pb.GetStudyReply(study=summary_to_proto(detail.summary), study_config=spec_to_proto(detail.spec))
        if detail.best_trial is not None:
            reply.best_trial.CopyFrom(trial_to_proto(detail.best_trial))
        return reply

    def ListStudies(self, request: pb.ListStudiesRequest, context: object) -> pb.ListStudiesReply:
        found = [
            summary_to_proto(s.summary)
            for s in self.studies
            if s.summary.id.startswith(request.id_prefix) and request.name in ("", s.summary.name)
        ]
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        return pb.ListStudiesReply(studies=found[begin:end], next_page_token=str(end) if end < len(found) else "")

    def GetTrial(self, request: pb.GetTrialRequest, context: object) -> pb.GetTrialReply:
        self.getting()
        found = next((t for t in self.trials if t.id == request.trial_id), None)
        if found is None:
            raise NotFoundError(f"there is no trial {request.trial_id}")
        return pb.GetTrialReply(trial=trial_to_proto(found))

    def ListTrials(self, request: pb.ListTrialsRequest, context: object) -> pb.ListTrialsReply:
        found = [
            trial_to_proto(t)
            for t in self.trials
            if t.id.startswith(request.id_prefix) and request.study_id in ("", t.study_id)
            if not request.states or trial_state_to_proto(t.state) in request.states
            if not self.knows_numbers or request.number in (0, t.number)
        ]
        self.trials_given += len(found[int(request.page_token or 0) :][: request.page_size])
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        return pb.ListTrialsReply(trials=found[begin:end], next_page_token=str(end) if end < len(found) else "")

    def ListTrialColumns(self, request: pb.ListTrialColumnsRequest, context: object) -> pb.ListTrialColumnsReply:
        """The revision of a trial is its number."""
        if not self.knows_columns:
            raise UnimplementedError("an older one")
        found = [t for t in self.trials if t.study_id == request.study_id and t.number > request.after_revision]
        page = sorted(found, key=lambda t: t.number)[: request.page_size]
        summary = self._study(request.study_id).summary
        whole = len(page) == len(found)
        revision = summary.revision if whole else page[-1].number
        return changes_to_proto(TrialChanges(summary, columns_of(page), revision))

    def ListObservations(self, request: pb.ListObservationsRequest, context: object) -> pb.ListObservationsReply:
        self.observing()
        found = [
            observation_to_proto(o)
            for o in self.observations.get(request.trial_id, ())
            if o.attempt == request.attempt and (not request.names or o.name in request.names)
        ]
        self.observations_asked.append((request.trial_id, request.page_size))
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        return pb.ListObservationsReply(
            observations=found[begin:end], next_page_token=str(end) if end < len(found) else ""
        )

    def GetTrialLog(self, request: pb.GetTrialLogRequest, context: object) -> pb.GetTrialLogReply:
        return self.output(request.attempt, request.offset)

    def GetSavedStudies(self, request: pb.GetSavedStudiesRequest, context: object) -> pb.GetSavedStudiesReply:
        names = sorted({model.study_name for model in self.models})
        return pb.GetSavedStudiesReply(studies=[pb.StudyOverview(name=name) for name in names])

    def GetSavedModels(self, request: pb.GetSavedModelsRequest, context: object) -> pb.GetSavedModelsReply:
        found = [model_to_proto(m) for m in self.models if m.study_name == request.study_name]
        self.models_given += len(found)
        return pb.GetSavedModelsReply(models=found)

    def GetSavedModel(self, request: pb.GetSavedModelRequest, context: object) -> pb.GetSavedModelReply:
        for model in self.models:
            if (model.study_name, model.trial_id) == (request.study_name, request.trial_id):
                self.models_given += 1
                return pb.GetSavedModelReply(model=model_to_proto(model))
        raise NotFoundError("no such model")

    def ListAlgorithms(self, request: pb.ListAlgorithmsRequest, context: object) -> pb.ListAlgorithmsReply:
        return pb.ListAlgorithmsReply(algorithms=[service_to_proto(s) for s in self.services])

    def WatchStudy(self, request: pb.WatchStudyRequest, context: object) -> Iterator[pb.WatchStudyReply]:
        self.calls.append(request)
        for step in self.watches.pop(0) if self.watches else []:
            if isinstance(step, KatibError):
                raise step
            if isinstance(step, Event):
                step.wait(60)
                continue
            yield pb.WatchStudyReply(
                study=summary_to_proto(step.study),
                trials=[trial_to_proto(t) for t in step.trials],
                revision=step.revision,
            )


@contextmanager
def serving(manager: ManagerServicer) -> Iterator[str]:
    """Serves it on a free port; gives the address."""
    server = Server(("api.Manager",))
    add_ManagerServicer_to_server(manager, server.grpc)  # type: ignore[no-untyped-call]
    port = server.listen("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.drain(0)
