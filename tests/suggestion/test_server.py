"""`katib-suggestion` as a process: over TCP and Unix sockets, spoken to as a client of Katib 0.1 would."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionStub
from katib.api.channel import open_channel
from katib.api.errors import from_rpc_error
from katib.domain.errors import InvalidArgumentError
from tests.suggestion.programs import modules_after, program, refused

TIMEOUT = 30
MANY = 10**9


@pytest.fixture
def folder() -> Iterator[Path]:
    """A socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="kt-") as name:
        yield Path(name)


@pytest.fixture(scope="module", params=["random", "grid"])
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["tcp", "unix"])
def channel(request: pytest.FixtureRequest, algorithm: str) -> Iterator[grpc.Channel]:
    with tempfile.TemporaryDirectory(prefix="kt-") as name:
        address = "localhost:0" if request.param == "tcp" else f"unix:{name}/s"
        with program("katib-suggestion", algorithm, "--listen", address) as server:
            if request.param == "tcp":
                address = f"localhost:{server.port}"
            with open_channel(address) as opened:
                yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> SuggestionStub:
    return SuggestionStub(channel)  # type: ignore[no-untyped-call]


def old_study(algorithm: str, *settings: tuple[str, str]) -> pb.StudyConfig:
    """As Katib 0.1 sends it: no field that came later."""
    config = pb.StudyConfig(
        name="old",
        owner="someone",
        optimization_type=pb.MAXIMIZE,
        suggest_algorithm=algorithm,
        objective_value_name="accuracy",
        metrics=["accuracy"],
        image="image",
        command=["python", "train.py"],
        suggestion_parameters=[pb.SuggestionParameter(name=n, value=v) for n, v in settings],
    )
    configs = config.parameter_configs.configs
    configs.add(name="--lr", parameter_type=pb.DOUBLE, feasible=pb.FeasibleSpace(min="0.03", max="0.07"))
    configs.add(name="--num-layers", parameter_type=pb.INT, feasible=pb.FeasibleSpace(min="2", max="5"))
    configs.add(name="--optimizer", parameter_type=pb.CATEGORICAL, feasible=pb.FeasibleSpace(list=["sgd", "adam"]))
    return config


def old_settings(algorithm: str) -> tuple[tuple[str, str], ...]:
    return {
        "random": (("SuggestionNum", "12"), ("MaxParallel", "5")),
        "grid": (("--lr", "3"), ("DefaultGrid", "2"), ("MaxParallel", "5")),
    }[algorithm]


MIDDLE = """
from katib.domain.settings import Options
from katib.suggestion.base import History, Reply, Suggestion
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

class Algorithm:
    name = "middle"
    options = Options(name, (SUGGESTION_NUM, MAX_PARALLEL))

    def check(self, problem):
        pass

    def history(self, problem):
        return History.NONE

    def suggest(self, request):
        space = request.problem.space
        return Reply((Suggestion(space.from_unit([0.5] * len(space))),))
"""


def install(folder: Path, name: str, source: str) -> None:
    """A distribution of one module with one algorithm."""
    (folder / f"{name}_search.py").write_text(source)
    information = folder / f"{name}_search-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-search\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[katib.suggestions]\n{name} = {name}_search:Algorithm\n")


class TestAnOldManager:
    @pytest.mark.long
    def test_it_gets_trials_until_the_study_is_completed(self, stub: SuggestionStub, algorithm: str) -> None:
        study = old_study(algorithm, *old_settings(algorithm))
        stub.SetSuggestionParameters(
            pb.SetSuggestionParametersRequest(
                study_id="s" * 16, suggestion_parameters=study.suggestion_parameters, configs=study
            ),
            timeout=TIMEOUT,
        )
        completed: list[pb.Trial] = []
        running: list[pb.Trial] = []
        for calls in range(100):
            reply = stub.GenerateTrials(
                pb.GenerateTrialsRequest(
                    study_id="s" * 16, configs=study, completed_trials=completed, running_trials=running
                ),
                timeout=TIMEOUT,
            )
            if reply.completed:
                break
            for trial in reply.trials:
                assert (trial.trial_id, trial.status, len(trial.tags)) == ("", pb.PENDING, 0)
                running.append(trial)
                trial.trial_id = f"t{calls}{len(running)}"
            assert len(running) <= 5
            done = [running.pop(0) for _ in range(min(2, len(running)))]
            for trial in done:
                trial.status = pb.COMPLETED
            completed += done
        stub.StopSuggestion(pb.StopSuggestionRequest(study_id="s" * 16), timeout=TIMEOUT)

        points = [tuple(p.value for p in t.parameter_set) for t in completed]
        assert len(set(points)) == len(points) == 12
        assert not running
        assert [p.name for p in completed[0].parameter_set] == ["--lr", "--num-layers", "--optimizer"]
        assert [p.parameter_type for p in completed[0].parameter_set] == [pb.DOUBLE, pb.INT, pb.CATEGORICAL]
        if algorithm == "grid":
            assert points[:3] == [("0.03", "2", "sgd"), ("0.03", "2", "adam"), ("0.03", "5", "sgd")]

    def test_it_need_not_send_the_settings_first(self, stub: SuggestionStub, algorithm: str) -> None:
        study = old_study(algorithm, *old_settings(algorithm))
        request = pb.GenerateTrialsRequest(study_id="never-heard-of", configs=study)

        first = stub.GenerateTrials(request, timeout=TIMEOUT)

        assert len(first.trials) == 5
        assert stub.GenerateTrials(request, timeout=TIMEOUT) == first

    def test_many_calls_at_once_get_what_each_would_get_alone(self, stub: SuggestionStub, algorithm: str) -> None:
        requests = []
        for i in range(40):
            study = old_study(algorithm, *old_settings(algorithm))
            requests.append(pb.GenerateTrialsRequest(study_id=f"study-{i}", configs=study))
        alone = [stub.GenerateTrials(r, timeout=TIMEOUT) for r in requests]

        with ThreadPoolExecutor(20) as pool:
            together = list(pool.map(lambda r: stub.GenerateTrials(r, timeout=TIMEOUT), requests))

        assert together == alone


class TestAManager:
    def test_it_hears_that_counts_are_enough(self, stub: SuggestionStub, algorithm: str) -> None:
        study = old_study(algorithm, *old_settings(algorithm))

        reply = stub.SetSuggestionParameters(pb.SetSuggestionParametersRequest(configs=study), timeout=TIMEOUT)

        # A grid has finitely many points, of which others may have tried some.
        expected = {"random": pb.HISTORY_NONE, "grid": pb.HISTORY_OTHERS}
        assert reply.history == expected[algorithm]
        assert reply.deltas == (reply.history != pb.HISTORY_NONE)

    def test_counts_are_as_good_as_trials(self, stub: SuggestionStub, algorithm: str) -> None:
        study = old_study(algorithm, *old_settings(algorithm))
        trials = [pb.Trial(trial_id=f"t{i}", number=i) for i in range(1, 6)]

        with_trials = pb.GenerateTrialsRequest(
            study_id="s", configs=study, completed_trials=trials[:3], running_trials=trials[3:]
        )
        with_counts = pb.GenerateTrialsRequest(
            study_id="s", configs=study, completed_count=3, running_count=2, first_number=6
        )

        assert stub.GenerateTrials(with_counts, timeout=TIMEOUT) == stub.GenerateTrials(with_trials, timeout=TIMEOUT)
        assert len(stub.GenerateTrials(with_counts, timeout=TIMEOUT).trials) == 3

    def test_it_hears_why_a_study_is_completed(self, stub: SuggestionStub, algorithm: str) -> None:
        study = old_study(algorithm, *old_settings(algorithm), ("SuggestionNum", "4"))

        reply = stub.GenerateTrials(
            pb.GenerateTrialsRequest(study_id="s", configs=study, completed_count=4, first_number=5), timeout=TIMEOUT
        )

        assert (reply.completed, reply.reason, len(reply.trials)) == (True, "MaxTrialsReached", 0)

    @pytest.mark.parametrize("method", ["SetSuggestionParameters", "GenerateTrials"])
    def test_a_refusal_names_the_setting(self, stub: SuggestionStub, algorithm: str, method: str) -> None:
        study = old_study(algorithm, *old_settings(algorithm), ("MaxParrallel", "2"))
        request = {
            "SetSuggestionParameters": pb.SetSuggestionParametersRequest(configs=study),
            "GenerateTrials": pb.GenerateTrialsRequest(configs=study),
        }[method]

        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub, method)(request, timeout=TIMEOUT)

        error = from_rpc_error(caught.value)
        assert isinstance(error, InvalidArgumentError)
        (violation,) = error.violations
        at = len(old_settings(algorithm))
        assert violation.field == f"study_config.suggestion_parameters[{at}].name"
        assert "did you mean MaxParallel?" in error.message

    @pytest.mark.parametrize(
        "request_",
        [
            pb.GenerateTrialsRequest(),
            pb.GenerateTrialsRequest(study_id="x" * 100_000),
            pb.GenerateTrialsRequest(configs=pb.StudyConfig(objective_strategy=7)),  # type: ignore[arg-type]
            pb.GenerateTrialsRequest(
                configs=pb.StudyConfig(
                    parameter_configs=pb.StudyConfig.ParameterConfigs(
                        configs=[pb.ParameterConfig(name="x", parameter_type=99)]  # type: ignore[arg-type]
                    )
                )
            ),
        ],
        ids=["nothing", "a long id", "an unknown enum", "an unknown type"],
    )
    def test_nonsense_is_an_invalid_argument(self, stub: SuggestionStub, request_: pb.GenerateTrialsRequest) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            stub.GenerateTrials(request_, timeout=TIMEOUT)

        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]

    @pytest.mark.parametrize("field", ["completed_count", "running_count", "first_number"])
    def test_a_negative_count_is_an_invalid_argument(self, stub: SuggestionStub, algorithm: str, field: str) -> None:
        request = pb.GenerateTrialsRequest(configs=old_study(algorithm, *old_settings(algorithm)))
        setattr(request, field, -3)

        with pytest.raises(grpc.RpcError, match=f"{field}: '-3': expected 0 or more"):
            stub.GenerateTrials(request, timeout=TIMEOUT)

    def test_stopping_a_study_that_nobody_knows_is_no_error(self, stub: SuggestionStub) -> None:
        assert stub.StopSuggestion(pb.StopSuggestionRequest(study_id="?"), timeout=TIMEOUT) == pb.StopSuggestionReply()


class TestTheProcess:
    def test_it_answers_health_checks_and_reflection(self, channel: grpc.Channel) -> None:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "api.Suggestion"):
            reply = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT)  # type: ignore[attr-defined]
            assert reply.status == health_pb2.HealthCheckResponse.SERVING

        services = ProtoReflectionDescriptorDatabase(channel).get_services()  # type: ignore[no-untyped-call]
        assert {"api.Suggestion", "grpc.health.v1.Health"} <= set(services)

    @pytest.mark.long
    def test_on_sigterm_calls_under_way_end_and_the_exit_code_is_0(self, folder: Path) -> None:
        with program("katib-suggestion", "grid", "--listen", f"unix:{folder}/s") as server:
            study = old_study("grid", ("DefaultGrid", "1000"), ("MaxParallel", "0"))
            with open_channel(f"unix:{folder}/s") as channel:
                stub = SuggestionStub(channel)  # type: ignore[no-untyped-call]
                stub.GenerateTrials(pb.GenerateTrialsRequest(study_id="s", configs=study), timeout=TIMEOUT)
                calls = [
                    stub.GenerateTrials.future(pb.GenerateTrialsRequest(study_id="s", configs=study), timeout=TIMEOUT)
                    for _ in range(30)
                ]
                calls[0].result(TIMEOUT)
                server.ask_to_end()
                ended = [call.exception(TIMEOUT) for call in calls]

            assert server.wait() == 0
            # Those that the server had not taken in yet are turned away by gRPC itself.
            codes = {e.code() for e in ended if e is not None}  # type: ignore[attr-defined]
            assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
            assert ended[0] is None
            assert [line["message"] for line in server.lines][-1] == "ended"

    @pytest.mark.long
    def test_a_sigterm_that_another_thread_gets_ends_it_too(self) -> None:
        with program("katib-suggestion", "random", "--listen", "localhost:0") as server:
            server.ask_to_end_by_another_thread()

            assert server.wait() == 0

    @pytest.mark.long
    def test_it_takes_its_address_from_the_environment(self, folder: Path) -> None:
        with program("katib-suggestion", "random", KATIB_LISTEN=f"unix:{folder}/s") as server:
            with open_channel(f"unix:{folder}/s") as channel:
                health = health_pb2_grpc.HealthStub(channel)
                health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)  # type: ignore[attr-defined]
            server.ask_to_end()
            assert server.wait() == 0

    @pytest.mark.long
    def test_a_socket_left_behind_by_one_that_was_killed_is_taken_over(self, folder: Path) -> None:
        with program("katib-suggestion", "random", "--listen", f"unix:{folder}/s") as server:
            server.kill()
        with (
            program("katib-suggestion", "random", "--listen", f"unix:{folder}/s"),
            open_channel(f"unix:{folder}/s") as channel,
        ):
            health = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)  # type: ignore[attr-defined]

    @pytest.mark.long
    @pytest.mark.parametrize("name", ["randon", "a" * 64, "../random", "random:Random", "", "Ä\n", "-"])
    def test_an_unknown_algorithm_is_refused_with_those_that_there_are(self, name: str) -> None:
        said = refused("katib-suggestion", "--listen", "localhost:0", "--", name)

        assert said.startswith("katib-suggestion: there is no algorithm ")
        assert "grid" in said
        assert "random" in said

    def test_an_algorithm_of_another_distribution_is_served(self, folder: Path) -> None:
        install(folder, "middle", MIDDLE)
        with (
            program("katib-suggestion", "middle", "--listen", f"unix:{folder}/s", PYTHONPATH=str(folder)),
            open_channel(f"unix:{folder}/s") as channel,
        ):
            stub = SuggestionStub(channel)  # type: ignore[no-untyped-call]
            study = old_study("middle", ("SuggestionNum", "2"), ("MaxParallel", "2"))
            reply = stub.GenerateTrials(pb.GenerateTrialsRequest(study_id="s", configs=study), timeout=TIMEOUT)

        assert [[p.value for p in t.parameter_set] for t in reply.trials] == [["0.05", "4", "adam"]]

    @pytest.mark.long
    def test_an_algorithm_that_lacks_what_it_needs_says_so(self, folder: Path) -> None:
        install(folder, "broken", "import no_such_package")

        said = refused("katib-suggestion", "broken", "--listen", "localhost:0", PYTHONPATH=str(folder))

        assert said.startswith(
            "katib-suggestion: algorithm broken cannot be loaded (No module named 'no_such_package')"
        )

    @pytest.mark.long
    @pytest.mark.parametrize("address", ["localhost:notaport", "256.256.256.256:1", "unix:/no/such/folder/s"])
    def test_an_address_that_cannot_be_had_is_a_sentence(self, address: str) -> None:
        assert refused("katib-suggestion", "random", "--listen", address).startswith("katib-suggestion: ")


@pytest.mark.long
def test_a_service_imports_neither_database_nor_cluster_nor_numerics_that_it_does_not_use() -> None:
    imported = modules_after(
        "import katib.suggestion.server, katib.suggestion.algorithms.random, katib.suggestion.algorithms.grid, "
        "katib.suggestion.algorithms.sobol, katib.suggestion.algorithms.hyperband, katib.suggestion.algorithms.asha, "
        "katib.suggestion.algorithms.bayesianoptimization, katib.suggestion.algorithms.tpe, "
        "katib.suggestion.algorithms.cmaes, katib.suggestion.algorithms.auto"
    )

    unwanted = {"sqlalchemy", "alembic", "pymysql", "kubernetes", "yaml", "numpy", "scipy", "sklearn", "katib.manager"}
    assert not unwanted & imported
