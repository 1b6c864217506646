"""A suggestion service that computes for long, and everybody else who wants something of the manager."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionServicer, add_SuggestionServicer_to_server
from katib.domain.errors import DeadlineExceededError, KatibError, UnavailableError
from katib.domain.trial import Trial, TrialState
from katib.manager.remote import calls
from katib.manager.remote.addresses import AddressTemplate, Channels
from katib.manager.remote.suggestion import RemoteSuggestionServices
from tests.e2e.harness import World, study, until, world
from tests.service.test_contract import idle, observation

CLIENTS = 24


class Slow(SuggestionServicer):
    """As one of 0.1: it needs the history. It answers when it is let."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.answers = threading.Event()
        self.questions = 0

    def SetSuggestionParameters(  # noqa: N802 - the wire's name
        self, _request: pb.SetSuggestionParametersRequest, _context: grpc.ServicerContext
    ) -> pb.SetSuggestionParametersReply:
        return pb.SetSuggestionParametersReply()

    def GenerateTrials(  # noqa: N802
        self, request: pb.GenerateTrialsRequest, _context: grpc.ServicerContext
    ) -> pb.GenerateTrialsReply:
        self.questions += 1
        self.asked.release()
        assert self.answers.wait(120)
        settings = {s.name: s.value for s in request.configs.suggestion_parameters}
        count = int(settings["MaxParallel"]) - len(request.running_trials)
        value = pb.Parameter(name="x", parameter_type=pb.DOUBLE, value="0.5")
        return pb.GenerateTrialsReply(
            trials=[pb.Trial(study_id=request.study_id, parameter_set=[value]) for _ in range(count)]
        )


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[World, Slow]]:
    with world(tmp_path) as it:
        service = Slow()
        server = grpc.server(ThreadPoolExecutor(2 * CLIENTS), options=(("grpc.so_reuseport", 0),))
        add_SuggestionServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(f"unix:{it.sockets}/s-slow")
        server.start()
        it.suggestion("random")
        it.manager()
        yield it, service
        service.answers.set()
        server.stop(0).wait()


def test_who_waits_for_a_service_that_does_not_answer_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SETTINGS_S", 0.2)
    with (
        TemporaryDirectory(prefix="kt-") as sockets,
        closing(socket.socket(socket.AF_UNIX)) as silent,
        closing(Channels()) as channels,
    ):
        silent.bind(f"{sockets}/s-frozen")
        silent.listen()
        services = RemoteSuggestionServices(AddressTemplate.parse("t", f"unix:{sockets}/s-{{algorithm}}"), channels)
        with pytest.raises(KatibError) as caught:
            services.set_parameters("frozen", "s" * 16, study()).result(30)
    assert caught.value.message == (
        "suggestion-frozen did not answer in time; its log may say why, and it may have to be restarted"
    )


@pytest.mark.long
def test_a_slow_algorithm_takes_neither_the_manager_nor_anybodys_trials(slow: tuple[World, Slow]) -> None:
    it, service = slow
    with it.client() as client, ThreadPoolExecutor(CLIENTS) as pool:
        study_id, another = (
            client.create_study(idle(limits={"max_trials": CLIENTS})),
            client.create_study(idle("another")),
        )
        refused = threading.Semaphore(0)

        def ask(number: int) -> Trial:
            while True:
                try:
                    ((trial,), _) = client.suggest_trials(study_id, 1, f"client {number}", "slow")
                except UnavailableError:
                    refused.release()
                    service.answers.wait(60)
                else:
                    return trial

        asked = [pool.submit(ask, number) for number in range(CLIENTS)]
        assert service.asked.acquire(timeout=60)
        assert refused.acquire(timeout=60)
        # While the service computes, and answers nobody before this has been answered.
        assert client.get_study(another).summary.name == "another"
        assert service.questions == 1
        service.answers.set()
        trials = [one.result(60) for one in asked]
    assert sorted(t.number for t in trials) == list(range(1, CLIENTS + 1))
    assert sorted(t.client_id for t in trials) == sorted(f"client {i}" for i in range(CLIENTS))
    assert until(lambda: service.questions) < CLIENTS


@pytest.mark.slow
def test_an_end_whose_question_takes_longer_than_its_caller_waits_is_stored_and_the_answer_is_there_when_it_comes_again(
    slow: tuple[World, Slow],
) -> None:
    it, service = slow
    with it.client() as client:
        study_id = client.create_study(idle())
        (trial,), _ = client.suggest_trials(study_id, 1, "me")
        left = [observation(0.5, 1)]
        with pytest.raises(DeadlineExceededError):
            client.within(4).complete_and_ask(study_id, trial.id, 1, left, "", "me", "slow")
        assert client.get_trial(trial.id).trial.state is TrialState.COMPLETED
        assert service.questions == 1
        service.answers.set()
        given = client.complete_and_ask(study_id, trial.id, 1, left, "", "me", "slow")
        assert given is not None
        assert [(t.number, t.client_id) for t in given[0]] == [(2, "me")]
        assert client.get_study(study_id).summary.trials == 2
        assert len(client.get_trial(trial.id).observations) == 1
