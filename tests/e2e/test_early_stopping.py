"""A study with an early-stopping rule, with every part as a process of its own."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import psutil
import pytest

from katib.api import api_pb2 as pb
from katib.api import api_pb2_grpc
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Setting, StudyReason, StudySpec, StudyState
from katib.domain.trial import TrialReason, TrialState
from tests.e2e.harness import World, finished, study, trials, until

HOPELESS = 5


def climbing(then: str, trials_in_all: int = HOPELESS) -> StudySpec:
    """Trials 1 to 4 climb; the fifth does `then` in a shell, and would not end by itself. One at a time."""
    script = f'if [ "$x" -lt {HOPELESS} ]; then for i in 1 2 3 4 5; do echo acc=0.$i; sleep 0.05; done; else {then}; fi'
    return study(
        script=script,
        algorithm="grid",
        parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace("1", "5")),),
        early_stopping="medianstopping",
        early_stopping_settings=(Setting("LeastStep", "3"),),
        limits={"max_trials": trials_in_all, "max_parallel": 1},
    )


PRINTING = "while true; do echo acc=0.01; sleep 0.1; done"


def alive(pids: Path) -> list[int]:
    """Those of the processes named in a file that run; one that is dead and not reaped yet does not."""
    found = []
    for pid in map(int, pids.read_text().split()):
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            pass
    return found


@pytest.mark.long
def test_a_study_whose_rule_s_service_is_away_says_so_goes_on_and_stops_trials_when_it_is_back(katib: World) -> None:
    katib.suggestion("grid")
    rule = katib.earlystopping("medianstopping")
    katib.manager()
    with katib.client() as client:
        study_id = client.create_study(climbing(PRINTING))
        rule.kill()

        def away() -> bool:
            summary = client.get_study(study_id).summary
            return summary.reason == StudyReason.EARLY_STOPPING_UNAVAILABLE and summary.completed == 4

        until(away)
        summary = client.get_study(study_id).summary
        assert summary.state is StudyState.RUNNING
        assert summary.message.startswith("earlystopping-medianstopping: ")
        assert summary.message.endswith("; no trial is stopped early until it answers, the study goes on")
        (listed,) = json.loads(katib.cli("list", "studies", "-o", "json").stdout)
        assert listed["reason"] == StudyReason.EARLY_STOPPING_UNAVAILABLE
        assert "no trial is stopped early" in katib.cli("get", "study", study_id).stdout
        last = trials(client, study_id)[-1]
        assert (last.number, last.state) == (HOPELESS, TrialState.RUNNING)
        katib.earlystopping("medianstopping")
        began = time.monotonic()
        until(lambda: client.get_study(study_id).summary.reason != StudyReason.EARLY_STOPPING_UNAVAILABLE)
        assert finished(client, study_id).killed == 1
        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_stopped_trial_that_ignores_sigterm_is_gone_when_it_is_killed(katib: World) -> None:
    katib.suggestion("grid")
    katib.earlystopping("medianstopping")
    katib.manager()
    pids = katib.folder / "pids"
    # The shell, and a child that would survive it.
    script = f"trap '' TERM; sleep 600 & echo $$ $! >{pids}; {PRINTING}"
    with katib.client() as client:
        study_id = client.create_study(climbing(script))
        stopping = until(lambda: [t for t in trials(client, study_id) if t.reason == TrialReason.STOPPING])
        assert stopping[0].state is TrialState.RUNNING
        assert len(alive(pids)) == 2
        assert finished(client, study_id, seconds=60).killed == 1
        last = trials(client, study_id)[-1]
        assert (last.state, last.reason, last.objective) == (TrialState.KILLED, TrialReason.EARLY_STOPPED, 0.01)
        assert last.message.startswith("stopped early by medianstopping: by step ")
        assert "its best acc is 0.01, and the median of the averages of 4 trials 0." in last.message
        assert alive(pids) == []


@pytest.mark.long
def test_a_trial_that_ends_well_when_it_is_told_to_is_killed_with_its_last_value(katib: World) -> None:
    """It may save its model, or report once more: it is stopped all the same."""
    katib.suggestion("grid")
    katib.earlystopping("medianstopping")
    katib.manager()
    with katib.client() as client:
        study_id = client.create_study(climbing(f"trap 'echo acc=0.02; exit 0' TERM; {PRINTING}"))
        summary = finished(client, study_id)
        assert (summary.completed, summary.killed) == (4, 1)
        last = trials(client, study_id)[-1]
        assert (last.state, last.reason, last.objective) == (TrialState.KILLED, TrialReason.EARLY_STOPPED, 0.02)


class Recorder(api_pb2_grpc.SuggestionServicer):
    """A suggestion service that gives the grid's points, and keeps the questions."""

    def __init__(self) -> None:
        self.questions: list[pb.GenerateTrialsRequest] = []

    def SetSuggestionParameters(self, _request: object, _context: object) -> pb.SetSuggestionParametersReply:  # noqa: N802
        return pb.SetSuggestionParametersReply()

    def GenerateTrials(  # noqa: N802
        self, request: pb.GenerateTrialsRequest, _context: object
    ) -> pb.GenerateTrialsReply:
        self.questions.append(request)
        x = len(request.completed_trials) + len(request.running_trials) + 1
        parameter = pb.Parameter(name="x", parameter_type=pb.INT, value=str(min(x, HOPELESS)))
        return pb.GenerateTrialsReply(trials=[pb.Trial(parameter_set=[parameter])])

    def StopSuggestion(self, _request: object, _context: object) -> pb.StopSuggestionReply:  # noqa: N802
        return pb.StopSuggestionReply()


@pytest.fixture
def recorder(katib: World) -> Iterator[Recorder]:
    servicer = Recorder()
    server = grpc.server(ThreadPoolExecutor(2))
    api_pb2_grpc.add_SuggestionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{katib.sockets}/s-grid")
    server.start()
    yield servicer
    server.stop(None).wait()


@pytest.mark.long
def test_the_suggestion_service_is_told_of_a_stopped_trial_what_it_is(katib: World, recorder: Recorder) -> None:
    katib.earlystopping("medianstopping")
    katib.manager()
    with katib.client() as client:
        study_id = client.create_study(climbing(PRINTING, trials_in_all=6))
        until(lambda: len(recorder.questions) == 6)
        client.stop_study(study_id)
        (told,) = [t for t in recorder.questions[-1].completed_trials if t.number == HOPELESS]
        assert (told.status, told.reason, told.objective_value) == (pb.KILLED, TrialReason.EARLY_STOPPED, "0.01")
        assert not recorder.questions[-1].running_trials
        finished(client, study_id)


@pytest.mark.long
def test_a_trial_whose_program_reports_by_itself_is_stopped_early_too(katib: World) -> None:
    katib.suggestion("grid")
    katib.earlystopping("medianstopping")
    katib.manager()
    program = katib.folder / "report.py"
    program.write_text(
        "import sys, time, katib\n"
        "x = int(sys.argv[1].partition('=')[2])\n"
        f"for step in range(1, 6 if x < {HOPELESS} else 6000):\n"
        f"    katib.report(acc=step / 10 if x < {HOPELESS} else 0.01, step=step)\n"
        f"    time.sleep(0.05 if x < {HOPELESS} else 0.2)\n"
    )
    spec = replace(climbing(""), command=(sys.executable, str(program)))
    with katib.client() as client:
        study_id = client.create_study(spec)
        assert finished(client, study_id).killed == 1
        last = trials(client, study_id)[-1]
        assert (last.number, last.reason) == (HOPELESS, TrialReason.EARLY_STOPPED)


class Old(api_pb2_grpc.EarlyStoppingServicer):
    """A rule's service with the two methods of Katib 0.1 and no more: it keeps settings in memory, and stops every trial that
    has reported something once it knows them."""

    def __init__(self) -> None:
        self.settings: dict[str, dict[str, str]] = {}
        self.forgot = 0

    def SetEarlyStoppingParameter(  # noqa: N802
        self, request: pb.SetEarlyStoppingParameterRequest, _context: object
    ) -> pb.SetEarlyStoppingParameterReply:
        self.settings[request.study_id] = {s.name: s.value for s in request.early_stopping_parameters}
        return pb.SetEarlyStoppingParameterReply()

    def ShouldTrialStop(  # noqa: N802
        self, request: pb.ShouldTrialStopRequest, context: grpc.ServicerContext
    ) -> pb.ShouldTrialStopReply:
        if request.study_id not in self.settings:
            self.forgot += 1
            context.abort(grpc.StatusCode.UNKNOWN, "there is no such study")
        return pb.ShouldTrialStopReply(trials=[t for t in request.running_trials if t.eval_logs])


@pytest.mark.long
def test_a_service_with_the_two_methods_of_katib_0_1_is_asked_as_ever_and_told_again_what_it_forgot(
    katib: World,
) -> None:
    katib.suggestion("random")
    old = Old()
    server = grpc.server(ThreadPoolExecutor(2))
    api_pb2_grpc.add_EarlyStoppingServicer_to_server(old, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{katib.sockets}/e-old")
    server.start()
    katib.manager()
    try:
        with katib.client() as client:
            study_id = client.create_study(
                study(
                    script="echo acc=0.5; sleep 600",
                    early_stopping="old",
                    early_stopping_settings=(Setting("Any", "thing"),),
                    limits={"max_trials": 4, "max_parallel": 1},
                )
            )
            assert old.settings == {study_id: {"Any": "thing"}}
            until(lambda: client.get_study(study_id).summary.killed >= 1)
            old.settings.clear()
            until(lambda: old.forgot)
            until(lambda: client.get_study(study_id).summary.reason == StudyReason.EARLY_STOPPING_FAILED)
            assert "there is no such study" in client.get_study(study_id).summary.message
            assert finished(client, study_id, seconds=90).killed == 4
            assert [t.message for t in trials(client, study_id)] == ["stopped early by old"] * 4
    finally:
        server.stop(None).wait()
