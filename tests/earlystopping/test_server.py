"""`katib-earlystopping` as a process, spoken to over TCP and Unix sockets."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import EarlyStoppingStub
from katib.api.channel import open_channel
from katib.api.errors import from_rpc_error
from katib.api.study_converters import spec_to_proto
from katib.api.trial_converters import trial_to_proto
from katib.domain.errors import InvalidArgumentError
from katib.earlystopping.server import GROUP
from tests.earlystopping.studies import question, study
from tests.suggestion.programs import modules_after, program, refused

TIMEOUT = 30


@pytest.fixture(scope="module", params=["tcp", "unix"])
def channel(request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    with tempfile.TemporaryDirectory(prefix="kt-") as name:
        address = "localhost:0" if request.param == "tcp" else f"unix:{name}/s"
        with program("katib-earlystopping", "medianstopping", "--listen", address) as server:
            if request.param == "tcp":
                address = f"localhost:{server.port}"
            with open_channel(address) as opened:
                yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> EarlyStoppingStub:
    return EarlyStoppingStub(channel)  # type: ignore[no-untyped-call]


def message(running: list[list[float]], completed: list[list[float]]) -> pb.ShouldTrialStopRequest:
    call = question(study(), running, completed)
    return pb.ShouldTrialStopRequest(
        study_id=call.study_id,
        study_config=spec_to_proto(call.spec),
        running_trials=[trial_to_proto(t, call.curves[t.id]) for t in call.running],
        completed_trials=[trial_to_proto(t, call.curves[t.id]) for t in call.finished],
    )


BEHIND = message([[1.0] * 20, [0.0] * 20, [0.0] * 19], [[0.5] * 30] * 3)


@pytest.mark.long
def test_trials_that_are_behind_come_back(stub: EarlyStoppingStub) -> None:
    reply = stub.ShouldTrialStop(BEHIND, timeout=TIMEOUT)

    assert [t.trial_id for t in reply.trials] == [BEHIND.running_trials[1].trial_id]
    assert [(t.number, t.study_id, len(t.eval_logs)) for t in reply.trials] == [(2, BEHIND.study_id, 0)]


def test_a_log_may_hold_several_metrics_and_words_that_are_no_numbers(stub: EarlyStoppingStub) -> None:
    request = pb.ShouldTrialStopRequest()
    request.CopyFrom(BEHIND)
    for trial in (*request.running_trials, *request.completed_trials):
        for log in trial.eval_logs:
            log.time = "some time"
            log.metrics.add(name="loss", value="1e400")
            log.metrics.add(name="score", value="0.9,")

    assert stub.ShouldTrialStop(request, timeout=TIMEOUT) == stub.ShouldTrialStop(BEHIND, timeout=TIMEOUT)


def test_many_calls_at_once_get_what_each_would_get_alone(stub: EarlyStoppingStub) -> None:
    requests = [message([[float(i % 3)] * 20], [[1.0] * 20] * 3) for i in range(30)]

    with ThreadPoolExecutor(15) as pool:
        replies = list(pool.map(lambda r: stub.ShouldTrialStop(r, timeout=TIMEOUT), requests))

    assert [len(r.trials) for r in replies] == [1, 0, 0] * 10


def test_an_old_manager_sends_its_settings_without_the_study(stub: EarlyStoppingStub) -> None:
    settings = [
        pb.EarlyStoppingParameter(name=n, value=v)
        for n, v in (("LeastStep", "10"), ("EvalMargin", "0.1"), ("EvalMetrics", "accuracy"), ("BurnInPeriod", "2"))
    ]

    stub.SetEarlyStoppingParameter(
        pb.SetEarlyStoppingParameterRequest(study_id="s", early_stopping_parameters=settings), timeout=TIMEOUT
    )


def test_an_old_question_is_refused_because_no_database_is_read(stub: EarlyStoppingStub) -> None:
    with pytest.raises(grpc.RpcError, match="expected the study, and its trials, with the question") as caught:
        stub.ShouldTrialStop(pb.ShouldTrialStopRequest(study_id="s"), timeout=TIMEOUT)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]


@pytest.mark.parametrize("in_study", [True, False])
def test_a_refusal_names_the_setting(stub: EarlyStoppingStub, in_study: bool) -> None:
    config = spec_to_proto(study(("LeastStep", "5"), ("BurninPeriod", "1")))
    request = pb.SetEarlyStoppingParameterRequest(
        study_config=config, early_stopping_parameters=[] if in_study else config.early_stopping_parameters
    )

    with pytest.raises(grpc.RpcError) as caught:
        stub.SetEarlyStoppingParameter(request, timeout=TIMEOUT)

    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgumentError)
    (violation,) = error.violations
    assert violation.field == "study_config.early_stopping_parameters[1].name"
    assert violation.expected.startswith("did you mean BurnInPeriod?")


@pytest.mark.long
def test_it_answers_health_checks_and_ends_with_code_0_on_sigterm() -> None:
    with program("katib-earlystopping", "medianstopping", "--listen", "localhost:0") as server:
        with open_channel(f"localhost:{server.port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="api.EarlyStopping")
            reply = health.Check(request, timeout=TIMEOUT)  # type: ignore[attr-defined]
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        server.ask_to_end()
        assert server.wait() == 0


@pytest.mark.long
@pytest.mark.parametrize("name", ["median", "m" * 64, "../x"])
def test_an_unknown_rule_is_refused_with_those_that_there_are(name: str) -> None:
    said = refused("katib-earlystopping", name, "--listen", "localhost:0")

    assert said.startswith("katib-earlystopping: there is no rule ")
    assert "medianstopping" in said


@pytest.mark.long
def test_a_service_imports_neither_database_nor_cluster_nor_numerics() -> None:
    rules = ", ".join(entry.name for entry in entry_points(group=GROUP))
    imported = modules_after(f"import katib.earlystopping.server; from katib.earlystopping.rules import {rules}")

    unwanted = {"sqlalchemy", "alembic", "pymysql", "kubernetes", "yaml", "numpy", "scipy", "sklearn", "katib.manager"}
    assert not unwanted & imported
