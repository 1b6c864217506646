"""What a client of Katib 0.1 sends, sent to us: nothing but the messages of that time, over a real socket."""

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.errors import from_rpc_error
from katib.domain.errors import UnimplementedError
from tests.e2e.harness import World, stub, until


@pytest.fixture(scope="module")
def manager(running: World) -> ManagerStub:
    return stub(running.address)


def config(**changes: object) -> pb.StudyConfig:
    message = pb.StudyConfig(
        name="old",
        owner="me",
        optimization_type=pb.MAXIMIZE,
        parameter_configs=pb.StudyConfig.ParameterConfigs(
            configs=[
                pb.ParameterConfig(
                    name="--lr", parameter_type=pb.DOUBLE, feasible=pb.FeasibleSpace(min="0.01", max="0.03")
                )
            ]
        ),
        suggest_algorithm="random",
        suggestion_parameters=[
            pb.SuggestionParameter(name="SuggestionNum", value="3"),
            pb.SuggestionParameter(name="MaxParallel", value="2"),
        ],
        objective_value_name="acc",
        image="mxnet/python",
        command=["sh", "-c", "echo acc=0.5"],
        scheduler="default-scheduler",
    )
    message.MergeFrom(pb.StudyConfig(**changes))  # type: ignore[arg-type]
    return message


def test_a_study_of_0_1_runs_to_its_suggestion_num(manager: ManagerStub) -> None:
    study_id = manager.CreateStudy(pb.CreateStudyRequest(study_config=config()), timeout=30).study_id
    assert len(study_id) == 16

    def info() -> pb.StudyInfo | None:
        infos = manager.GetStudies(pb.GetStudiesRequest(), timeout=30).study_infos
        return next((i for i in infos if i.study_id == study_id and i.completed_trial_num == 3), None)

    found = until(info)
    assert (found.name, found.owner, found.running_trial_num) == ("old", "me", 0)


def test_an_optimization_goal_that_was_never_set_does_not_end_a_study(manager: ManagerStub) -> None:
    # 0.1 sends no goal as 0, which every accuracy reaches.
    study_id = manager.CreateStudy(pb.CreateStudyRequest(study_config=config()), timeout=30).study_id
    until(lambda: manager.GetStudy(pb.GetStudyRequest(study_id=study_id), timeout=30).study.completed_trial_num == 3)


def test_a_request_without_a_config_is_told_so(manager: ManagerStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        manager.CreateStudy(pb.CreateStudyRequest(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "study_config is required" in caught.value.details()


def test_stopping_a_study_that_is_not_there_is_not_found(manager: ManagerStub) -> None:
    for study_id in ("a000000000000000", "nonsense", "x" * 300):
        with pytest.raises(grpc.RpcError) as caught:
            manager.StopStudy(pb.StopStudyRequest(study_id=study_id), timeout=30)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_study_without_an_algorithm_is_driven_by_its_client(manager: ManagerStub) -> None:
    idle = config()
    idle.suggest_algorithm = ""
    del idle.suggestion_parameters[:]
    study_id = manager.CreateStudy(pb.CreateStudyRequest(study_config=idle), timeout=30).study_id
    reply = manager.SuggestTrials(pb.SuggestTrialsRequest(study_id=study_id, suggest_algorithm="random"), timeout=30)
    (trial,) = reply.trials
    assert (trial.status, trial.parameter_set[0].name) == (pb.RUNNING, "--lr")
    manager.CompleteTrial(
        pb.CompleteTrialRequest(study_id=study_id, trial_id=trial.trial_id, is_complete=True, objective_value="0.7"),
        timeout=30,
    )
    done = manager.GetTrial(pb.GetTrialRequest(trial_id=trial.trial_id), timeout=30).trial
    assert (done.status, done.objective_value) == (pb.COMPLETED, "0.7")
    (second,) = manager.SuggestTrials(
        pb.SuggestTrialsRequest(study_id=study_id, suggest_algorithm="random"), timeout=30
    ).trials
    manager.CompleteTrial(pb.CompleteTrialRequest(study_id=study_id, trial_id=second.trial_id), timeout=30)
    assert manager.GetTrial(pb.GetTrialRequest(trial_id=second.trial_id), timeout=30).trial.status == pb.KILLED


def test_a_client_that_asks_again_under_its_name_gets_its_own_unfinished_trials(manager: ManagerStub) -> None:
    idle = config()
    idle.suggest_algorithm = ""
    study_id = manager.CreateStudy(pb.CreateStudyRequest(study_config=idle), timeout=30).study_id
    ask = pb.SuggestTrialsRequest(study_id=study_id, client_id="one", count=2)
    first = [t.trial_id for t in manager.SuggestTrials(ask, timeout=30).trials]
    again = [t.trial_id for t in manager.SuggestTrials(ask, timeout=30).trials]
    other = manager.SuggestTrials(pb.SuggestTrialsRequest(study_id=study_id, client_id="two"), timeout=30).trials
    assert first == again
    assert other[0].trial_id not in first
    # SuggestionNum is 3, and all three are out.
    more = manager.SuggestTrials(pb.SuggestTrialsRequest(study_id=study_id, client_id="three"), timeout=30)
    assert (list(more.trials), more.completed) == ([], True)


def test_clients_do_not_ask_for_trials_of_a_study_that_the_manager_drives(manager: ManagerStub) -> None:
    study_id = manager.CreateStudy(pb.CreateStudyRequest(study_config=config()), timeout=30).study_id
    with pytest.raises(grpc.RpcError) as caught:
        manager.SuggestTrials(pb.SuggestTrialsRequest(study_id=study_id), timeout=30)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_calls_that_never_worked_name_what_to_use(manager: ManagerStub) -> None:
    for call, request, instead in (
        (manager.GetObjectValue, pb.GetObjectValueRequest(), "GetTrial"),
        (manager.AddMeasurementToTrials, pb.AddMeasurementToTrialsRequest(), "ReportMetrics"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert instead in caught.value.details()
        assert isinstance(from_rpc_error(caught.value), UnimplementedError)


def test_models_are_saved_and_found(manager: ManagerStub) -> None:
    manager.SaveStudy(pb.SaveStudyRequest(study_name="kept", owner="me", description="d"), timeout=30)
    model = pb.ModelInfo(
        study_name="kept",
        trial_id="t1",
        parameters=[pb.Parameter(name="--lr", parameter_type=pb.DOUBLE, value="0.02")],
        metrics=[pb.Metrics(name="acc", value="0.9")],
        model_path="pvc:/logs/x",
    )
    manager.SaveModel(pb.SaveModelRequest(model=model, data_set=pb.DataSetInfo(name="d", path="/d")), timeout=30)
    one = manager.GetSavedModel(pb.GetSavedModelRequest(study_name="kept", trial_id="t1"), timeout=30).model
    (listed,) = manager.GetSavedModels(pb.GetSavedModelsRequest(study_name="kept"), timeout=30).models
    for found in (one, listed):
        # What came later is nothing that 0.1's clients see.
        for name in ("save_time", "data_set"):
            found.ClearField(name)
        assert found == model
    assert "kept" in [s.name for s in manager.GetSavedStudies(pb.GetSavedStudiesRequest(), timeout=30).studies]
    with pytest.raises(grpc.RpcError) as caught:
        manager.GetSavedModel(pb.GetSavedModelRequest(study_name="kept", trial_id="t2"), timeout=30)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    model.model_path = "/nowhere"
    with pytest.raises(grpc.RpcError) as caught:
        manager.SaveModel(pb.SaveModelRequest(model=model, tensor_board=True), timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_settings_of_a_suggestion_service_can_be_sent_through_the_manager(manager: ManagerStub) -> None:
    request = pb.InitializeSuggestServiceRequest(
        study_id="a000000000000000", suggest_algorithm="random", configs=config()
    )
    request.suggestion_parameters.extend(config().suggestion_parameters)
    manager.InitializeSuggestService(request, timeout=30)
    request.suggestion_parameters[0].value = "0"
    with pytest.raises(grpc.RpcError) as caught:
        manager.InitializeSuggestService(request, timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "SuggestionNum" in caught.value.details()
