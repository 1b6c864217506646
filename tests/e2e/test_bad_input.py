"""Bad input over a real socket: a clear status with the field's path, nothing stored, memory flat."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.errors import DETAIL_KEY
from tests.e2e.harness import Process, World, stub, world
from tests.examples import examples

pytestmark = pytest.mark.long

DOUBLE, INT, DISCRETE, CATEGORICAL = pb.DOUBLE, pb.INT, pb.DISCRETE, pb.CATEGORICAL
Feasible = pb.FeasibleSpace


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Process]]:
    with world(tmp_path_factory.mktemp("bad")) as it:
        it.suggestion("random")
        yield it, it.manager()


@pytest.fixture(scope="module")
def manager(served: tuple[World, Process]) -> ManagerStub:
    return stub(served[0].address)


def parameter(name: str = "x", type_: int = DOUBLE, **feasible: object) -> pb.ParameterConfig:
    return pb.ParameterConfig(name=name, parameter_type=type_, feasible=Feasible(**feasible))  # type: ignore[arg-type]


def config(*parameters: pb.ParameterConfig, **fields: object) -> pb.StudyConfig:
    given_ = parameters or (parameter(min="0", max="1"),)
    base: dict[str, object] = {
        "name": "bad",
        "optimization_type": pb.MAXIMIZE,
        "objective_value_name": "acc",
        "suggest_algorithm": "random",
        "max_trials": 1,
        "command": ["true"],
        "parameter_configs": pb.StudyConfig.ParameterConfigs(configs=given_),
    }
    return pb.StudyConfig(**{**base, **fields})  # type: ignore[arg-type]


def refusal(manager: ManagerStub, study_config: pb.StudyConfig) -> tuple[grpc.StatusCode, str, list[str]]:
    try:
        manager.CreateStudy(pb.CreateStudyRequest(study_config=study_config), timeout=60)
    except grpc.RpcError as error:
        fields = [
            v.field
            for key, value in error.trailing_metadata()
            if key == DETAIL_KEY
            for v in pb.ErrorDetail.FromString(value).violations
        ]
        return error.code(), error.details(), fields
    return grpc.StatusCode.OK, "", []


AT = "study_config.parameter_configs.configs[0]"


@pytest.mark.parametrize(
    ("study_config", "field"),
    [
        (config(parameter(min="2", max="1")), f"{AT}.feasible.min"),
        (config(parameter(min="nan", max="1")), f"{AT}.feasible.min"),
        (config(parameter(min="0", max="inf")), f"{AT}.feasible.max"),
        (config(parameter(min="-Infinity", max="1")), f"{AT}.feasible.min"),
        (config(parameter(min="0", max="1e999")), f"{AT}.feasible.max"),
        (config(parameter(min="0", max="one")), f"{AT}.feasible.max"),
        (config(parameter(max="1")), f"{AT}.feasible.min"),
        (config(parameter(min="9" * 100_000, max="1")), f"{AT}.feasible.min"),
        (config(parameter(type_=INT, min="0.5", max="1")), f"{AT}.feasible.min"),
        (config(parameter(min="0", max="1", scale=pb.LOG)), f"{AT}.feasible.min"),
        (config(parameter(min="0", max="1", step="0")), f"{AT}.feasible.step"),
        (config(parameter(min="0", max="1", step="1e-300")), f"{AT}.feasible.step"),
        (config(parameter(min="0", max="1", list=["1"])), f"{AT}.feasible.list"),
        (config(parameter(type_=CATEGORICAL)), f"{AT}.feasible.list"),
        (config(parameter(type_=DISCRETE, list=["1", "x"])), f"{AT}.feasible.list[1]"),
        (config(parameter(type_=CATEGORICAL, list=["a", "b", "a"])), f"{AT}.feasible.list[2]"),
        (config(parameter(type_=CATEGORICAL, list=[str(i) for i in range(100_000)])), f"{AT}.feasible.list"),
        (config(parameter(type_=0, min="0", max="1")), f"{AT}.parameter_type"),
        (config(parameter(type_=77, min="0", max="1")), f"{AT}.parameter_type"),
        (config(parameter(min="0", max="1", scale=9)), f"{AT}.feasible.scale"),
        (config(parameter(name="", min="0", max="1")), f"{AT}.name"),
        (config(parameter(name="a b", min="0", max="1")), f"{AT}.name"),
        (config(parameter(name="a=b", min="0", max="1")), f"{AT}.name"),
        (config(parameter(name="\x1b[31m", min="0", max="1")), f"{AT}.name"),
        (config(parameter(name="x" * 300, min="0", max="1")), f"{AT}.name"),
        (
            config(parameter(min="0", max="1"), parameter(min="0", max="1")),
            "study_config.parameter_configs.configs[1].name",
        ),
        (
            config(*(parameter(f"p{i}", min="0", max="1") for i in range(5000))),
            "study_config.parameter_configs.configs",
        ),
        (config(parameter_configs=pb.StudyConfig.ParameterConfigs()), "study_config.parameter_configs.configs"),
        (config(name=""), "study_config.name"),
        (config(name="x" * 300), "study_config.name"),
        (config(name="a\x00b"), "study_config.name"),
        (config(name="x" * 10_000_000), "study_config.name"),
        (config(objective_value_name=""), "study_config.objective_value_name"),
        (config(objective_value_name="a\nb"), "study_config.objective_value_name"),
        (config(optimization_type=0), "study_config.optimization_type"),
        (config(optimization_type=9), "study_config.optimization_type"),
        (config(optimization_goal=float("nan")), "study_config.optimization_goal"),
        (config(suggest_algorithm="../x"), "study_config.suggest_algorithm"),
        (config(early_stopping_algorithm="x y"), "study_config.early_stopping_algorithm"),
        (config(metrics=["a", "b c"]), "study_config.metrics[1]"),
        (config(command=[]), "study_config.command"),
        (config(command=["a\x00"]), "study_config.command[0]"),
        (config(command=["x" * 1_000_000]), "study_config.command"),
        (config(gpu=-1), "study_config.gpu"),
        (config(max_trials=0), "study_config.max_trials"),
        (config(max_parallel=-5), "study_config.max_parallel"),
        (config(retry_limit=-1), "study_config.retry_limit"),
        (config(objective_strategy=5), "study_config.objective_strategy"),
        (
            config(suggestion_parameters=[pb.SuggestionParameter(name="MaxParallel", value="many")]),
            "study_config.suggestion_parameters[0].value",
        ),
    ],
)
def test_each_mistake_is_refused_by_the_path_of_its_field(
    manager: ManagerStub, study_config: pb.StudyConfig, field: str
) -> None:
    code, text, fields = refusal(manager, study_config)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in fields
    assert "expected" in text
    assert len(text) < 3000
    assert not manager.ListStudies(pb.ListStudiesRequest(), timeout=30).studies


texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "nan", "inf", "-1", "1e308", "0x10", "1_000", "x" * 300, "'; DROP TABLE studies; --", "{{x}}", "🎉"]
    ),
)
numbers = st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0, 1, 2, 120]))
feasibles = st.builds(
    Feasible, min=texts, max=texts, step=texts, list=st.lists(texts, max_size=4), scale=st.integers(0, 3)
)
configs = st.builds(
    pb.StudyConfig,
    name=texts,
    owner=texts,
    optimization_type=st.integers(0, 3),
    optimization_goal=st.one_of(st.none(), st.floats()),
    parameter_configs=st.builds(
        pb.StudyConfig.ParameterConfigs,
        configs=st.lists(
            st.builds(pb.ParameterConfig, name=texts, parameter_type=st.integers(0, 5), feasible=feasibles), max_size=3
        ),
    ),
    suggest_algorithm=st.one_of(st.just("random"), st.just("absent"), texts),
    early_stopping_algorithm=texts,
    suggestion_parameters=st.lists(st.builds(pb.SuggestionParameter, name=texts, value=texts), max_size=3),
    objective_value_name=texts,
    metrics=st.lists(texts, max_size=3),
    command=st.lists(texts, max_size=3),
    gpu=numbers,
    max_trials=st.one_of(st.none(), numbers),
    max_parallel=st.one_of(st.none(), numbers),
    working_dir=texts,
)


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(study_config=configs)
def test_whatever_is_sent_is_refused_with_a_reason_or_accepted_whole(
    manager: ManagerStub, study_config: pb.StudyConfig
) -> None:
    code, text, fields = refusal(manager, study_config)
    if code is grpc.StatusCode.OK:
        study_id = manager.ListStudies(pb.ListStudiesRequest(page_size=1), timeout=30).studies[0].study_id
        stored = manager.GetStudy(pb.GetStudyRequest(study_id=study_id), timeout=30).study_config
        assert stored.parameter_configs == study_config.parameter_configs
        manager.DeleteStudy(pb.DeleteStudyRequest(study_id=study_id), timeout=30)
    elif code is grpc.StatusCode.INVALID_ARGUMENT:
        assert fields
        assert all(field.startswith("study_config") for field in fields)
    else:
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "no service answers" in text


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts, number=numbers)
def test_every_call_with_made_up_ids_and_tokens_is_refused_as_input(
    manager: ManagerStub, text: str, number: int
) -> None:
    calls = (
        (manager.GetStudy, pb.GetStudyRequest(study_id=text)),
        (manager.StopStudy, pb.StopStudyRequest(study_id=text)),
        (manager.DeleteStudy, pb.DeleteStudyRequest(study_id=text)),
        (manager.UpdateStudy, pb.UpdateStudyRequest(study_id=text, max_trials=number)),
        (manager.GetTrial, pb.GetTrialRequest(trial_id=text)),
        (manager.StopTrial, pb.StopTrialRequest(trial_id=text)),
        (manager.GetTrialLog, pb.GetTrialLogRequest(trial_id=text, attempt=number, offset=number)),
        (manager.ListObservations, pb.ListObservationsRequest(trial_id=text, attempt=number, page_token=text)),
        (manager.ReportMetrics, pb.ReportMetricsRequest(trial_id=text, attempt=number, reporter=text)),
        (manager.SuggestTrials, pb.SuggestTrialsRequest(study_id=text, count=number, client_id=text)),
        (manager.CompleteTrial, pb.CompleteTrialRequest(study_id=text, trial_id=text, objective_value=text)),
        (manager.EarlyStopping, pb.EarlyStoppingRequest(study_id=text, early_stopping_algorithm=text)),
        (manager.GetSavedModels, pb.GetSavedModelsRequest(study_name=text)),
    )
    for call, request in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=30)
        assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT), request
    for call, request in (
        (
            manager.ListStudies,
            pb.ListStudiesRequest(page_token=f"{text}!", page_size=number, name=text, id_prefix=text),
        ),
        (manager.ListTrials, pb.ListTrialsRequest(page_token=f"{text}!", page_size=number, id_prefix=text)),
    ):
        assert code_of(call, request) in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK)


def code_of(call: Callable[..., object], request: object) -> grpc.StatusCode:
    try:
        call(request, timeout=30)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.slow
def test_a_stream_of_large_refused_requests_leaves_memory_flat(
    manager: ManagerStub, served: tuple[World, Process]
) -> None:
    process = psutil.Process(served[1].popen.pid)
    huge = config(name="x" * 10_000_000)
    # Each of the server's threads keeps the memory of its largest request for the next one.
    for _ in range(60):
        refusal(manager, huge)
    before = process.memory_info().rss
    for _ in range(60):
        refusal(manager, huge)
    assert process.memory_info().rss - before < 60 * 2**20


def test_a_study_file_of_ten_megabytes_is_refused_before_it_is_read(
    served: tuple[World, Process], tmp_path: Path
) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("name: x\n" + "# padding\n" * 1_000_000)
    done = served[0].cli("create-study", "-f", path, check=False)
    assert done.returncode == 2
    assert "1 MiB" in done.stderr
    assert "Traceback" not in done.stderr
