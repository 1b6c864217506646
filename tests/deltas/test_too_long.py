"""A study whose trials are more than one message may hold: it is said what can be done."""

import gc
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api import api_pb2_grpc, rpc
from katib.domain.errors import ResourceExhaustedError
from katib.domain.metrics import Observation
from katib.domain.search_space import FeasibleSpace, Parameter, ParameterConfig, ParameterType
from katib.domain.study import Objective, StudySpec
from katib.domain.trial import Tag, Trial, TrialState
from katib.manager.remote import curves, deltas
from katib.manager.remote.addresses import AddressTemplate, Channels
from katib.manager.remote.earlystopping import RemoteEarlyStoppingServices
from katib.manager.remote.suggestion import RemoteSuggestionServices
from katib.manager.service_ports import AskAgainError, StoppingRequest, SuggestionRequest
from katib.suggestion.base import History, Reply, Request, Suggestion
from katib.suggestion.histories import Histories
from katib.suggestion.servicer import SuggestionServicer
from tests.deltas.services import Mirror
from tests.e2e.harness import until
from tests.storage.builders import observe

MIB = 2**20
STUDY_ID = "s" * 16
SPEC = StudySpec(
    "study",
    "loss",
    Objective.MINIMIZE,
    (ParameterConfig("rate", ParameterType.DOUBLE, FeasibleSpace("0", "1")),),
    algorithm="mirror",
)


class Heavy:
    """Finished trials with a tag of so many bytes each; one as a hundred thousand trials may have together."""

    def __init__(self, size: int, count: int = 1) -> None:
        now = datetime(2026, 1, 2, tzinfo=UTC)
        tag = Tag("memory", "x" * size)
        self._trials = [
            Trial(f"t{i:015}", STUDY_ID, i, 1, TrialState.COMPLETED, (), now, i, tags=(tag,))
            for i in range(1, count + 1)
        ]

    def all(self) -> Sequence[Trial]:
        return self._trials

    def since(self, revision: int) -> Sequence[Trial]:
        return [t for t in self._trials if t.revision >= revision]

    def curves(self, _trials: Sequence[Trial]) -> Iterable[tuple[str, Sequence[Observation]]]:
        return ()

    def values(self, _trials: Sequence[Trial]) -> Mapping[str, int]:
        return {}


class Long(Heavy):
    """Finished trials that have reported so much each; `read` counts the values that were looked at."""

    def __init__(self, values: int, count: int) -> None:
        super().__init__(0, count)
        self._values = values
        self.read = 0

    def curves(self, trials: Sequence[Trial]) -> Iterator[tuple[str, Sequence[Observation]]]:
        for trial in trials:
            found = [observe(0.1 + i, "loss", step=i) for i in range(self._values)]
            self.read += len(found)
            yield trial.id, found

    def values(self, trials: Sequence[Trial]) -> Mapping[str, int]:
        return {trial.id: self._values for trial in trials}


class Counting(Mirror):
    """Says how many trials it sees."""

    def suggest(self, request: Request) -> Reply:
        return Reply((Suggestion((Parameter("rate", ParameterType.DOUBLE, str(len(request.finished))),)),))


@pytest.fixture
def services() -> Iterator[RemoteSuggestionServices]:
    """With a service that takes as much as gRPC does when it is left alone, 4 MiB."""
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = SuggestionServicer(Mirror(History.FINALS), Histories(MIB))
    api_pb2_grpc.add_SuggestionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    with TemporaryDirectory(prefix="kt-") as folder, closing(Channels()) as channels:
        server.add_insecure_port(f"unix:{Path(folder) / 'mirror'}")
        server.start()
        yield RemoteSuggestionServices(AddressTemplate.parse("t", f"unix:{folder}/{{algorithm}}"), channels)
        server.stop(0).wait()


@pytest.mark.long
@pytest.mark.parametrize("deltas", [True, False])
@pytest.mark.parametrize(("size", "most"), [(5 * MIB, 4 * MIB), (65 * MIB, 64 * MIB)], ids=["theirs", "ours"])
def test_more_trials_than_a_question_holds_are_told_with_what_to_do(
    services: RemoteSuggestionServices, size: int, most: int, deltas: bool
) -> None:
    """By either side's limit: that of a service which was left as gRPC has it, and our own."""
    if deltas:
        services.set_parameters("mirror", STUDY_ID, SPEC).result(30)
    request = SuggestionRequest(STUDY_ID, SPEC, Heavy(size), (), 1, 0, 2)

    with pytest.raises(ResourceExhaustedError) as caught:
        services.generate("mirror", request).result(30)

    assert f"no more than {most:,} are taken: stop the study and begin another one" in caught.value.message
    assert "--max-message" not in caught.value.message


@contextmanager
def counting(needs: History) -> Iterator[RemoteSuggestionServices]:
    """With a service that takes as much as ours do."""
    server = rpc.Server(("api.Suggestion",), threads=2)
    servicer = SuggestionServicer(Counting(needs), Histories(100 * MIB))
    api_pb2_grpc.add_SuggestionServicer_to_server(servicer, server.grpc)  # type: ignore[no-untyped-call]
    with TemporaryDirectory(prefix="kt-") as folder, closing(Channels()) as channels:
        server.listen(f"unix:{folder}/mirror")
        server.start()
        services = RemoteSuggestionServices(AddressTemplate.parse("t", f"unix:{folder}/{{algorithm}}"), channels)
        services.set_parameters("mirror", STUDY_ID, SPEC).result(30)
        try:
            yield services
        finally:
            server.drain(0)


def told(services: RemoteSuggestionServices, history: Heavy, count: int, questions: int) -> list[str]:
    """What so many questions in a row about a study of `count` finished trials come to."""
    request = SuggestionRequest(STUDY_ID, SPEC, history, (), count, 0, count + 1)
    said = []
    for _ in range(questions):
        try:
            said.append(services.generate("mirror", request).result(60).suggestions[0].parameters[0].value)
        except AskAgainError as error:
            said.append(error.message)
    return said


def test_more_trials_than_a_question_holds_are_sent_in_parts_by_our_limit_too() -> None:
    with counting(History.FINALS) as services:
        said = told(services, Heavy(MIB, 70), 70, questions=2)

    assert said == [
        "suggestion-mirror has been sent 31 of the study's 70 trials so far",
        "70",
    ]


def test_what_is_too_long_for_a_question_in_any_case_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study may have millions of values, and a service without deltas is to be sent all of them each time."""
    monkeypatch.setattr(curves, "MAX_MESSAGE_BYTES", MIB)
    history = Long(1000, 200)
    with closing(Channels()) as channels:
        template = AddressTemplate.parse("t", "unix:/nobody/{algorithm}")
        services = RemoteSuggestionServices(template, channels)
        asked = services.generate("mirror", SuggestionRequest(STUDY_ID, SPEC, history, (), 200, 0, 201))
        with pytest.raises(ResourceExhaustedError, match=r"has more than 1,\d{3},\d{3} bytes, .* stop the study"):
            asked.result(1)
        assert 10_000 < history.read < 30_000

        rules = RemoteEarlyStoppingServices(template, channels)
        request = StoppingRequest(STUDY_ID, SPEC, (), history.all(), history.curves(history.all()))
        with pytest.raises(ResourceExhaustedError, match=r"has more than 1,\d{3},\d{3} bytes, .* ShouldTrialStopDelta"):
            rules.should_stop("mine", request).result(1)
        assert 20_000 < history.read < 60_000


def test_what_trials_have_reported_counts_where_a_history_is_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else such a question is made and found too large again and again, each time with half as many trials."""
    monkeypatch.setattr(deltas, "MAX_MESSAGE_BYTES", MIB)
    monkeypatch.setattr(curves, "MAX_MESSAGE_BYTES", MIB)
    history = Long(1000, 20)
    with counting(History.CURVES) as services:
        said = told(services, history, 20, questions=3)

    assert said == [
        "suggestion-mirror has been sent 6 of the study's 20 trials so far",
        "suggestion-mirror has been sent 12 of the study's 20 trials so far",
        "20",
    ]
    assert history.read == 20_000


def test_what_running_trials_have_reported_makes_no_question_smaller_that_it_is_too_long_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor those about other studies, from then on."""
    monkeypatch.setattr(deltas, "MAX_MESSAGE_BYTES", MIB)
    monkeypatch.setattr(curves, "MAX_MESSAGE_BYTES", MIB)
    history = Long(1000, 20)
    unfinished = [replace(t, id=f"u{i:015}", state=TrialState.RUNNING) for i, t in enumerate(Heavy(0, 30).all())]
    with counting(History.CURVES) as services:
        request = SuggestionRequest(STUDY_ID, SPEC, Long(1000, 2), unfinished, 2, 30, 33)
        with pytest.raises(ResourceExhaustedError, match=r"has more than 1,\d{3},\d{3} bytes, .* stop the study"):
            services.generate("mirror", request).result(30)
        with pytest.raises(AskAgainError, match="has been sent 6 of the study's 20 trials so far"):
            services.generate("mirror", SuggestionRequest("o" * 16, SPEC, history, (), 20, 0, 21)).result(30)


class Verbose(api_pb2_grpc.SuggestionServicer):
    """Answers with so many bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def SetSuggestionParameters(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return pb.SetSuggestionParametersReply(history=pb.HISTORY_FINALS, deltas=True)

    def GenerateTrials(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return pb.GenerateTrialsReply(note="n" * self._size)

    def GenerateTrialsDelta(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return pb.GenerateTrialsDeltaReply(answer=self.GenerateTrials(None, None))


@pytest.mark.parametrize("deltas", [True, False])
def test_an_answer_that_is_too_large_is_not_taken_for_a_question_that_is(deltas: bool) -> None:
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    api_pb2_grpc.add_SuggestionServicer_to_server(Verbose(65 * MIB), server)  # type: ignore[no-untyped-call]
    with TemporaryDirectory(prefix="kt-") as folder, closing(Channels()) as channels:
        server.add_insecure_port(f"unix:{folder}/verbose")
        server.start()
        services = RemoteSuggestionServices(AddressTemplate.parse("t", f"unix:{folder}/{{algorithm}}"), channels)
        if deltas:
            services.set_parameters("verbose", STUDY_ID, SPEC).result(30)
        with pytest.raises(ResourceExhaustedError, match="an answer of 68,") as caught:
            services.generate("verbose", SuggestionRequest(STUDY_ID, SPEC, Heavy(9, 9), (), 9, 0, 10)).result(30)
        server.stop(0).wait()

    assert f"no more than {64 * MIB:,} are taken" in caught.value.message
    assert "have less sent" in caught.value.message


def test_a_question_that_failed_is_not_held_until_garbage_is_collected(services: RemoteSuggestionServices) -> None:
    """One may bring a whole history, and a service that is at fault is asked again and again."""
    services.set_parameters("mirror", STUDY_ID, SPEC).result(30)
    history = Heavy(5 * MIB)
    held = weakref.ref(history)
    gc.disable()
    try:
        error = services.generate("mirror", SuggestionRequest(STUDY_ID, SPEC, history, (), 1, 0, 2)).exception(30)
        assert isinstance(error, ResourceExhaustedError)
        del error, history
        until(lambda: held() is None)
    finally:
        gc.enable()


def test_more_trials_than_a_rule_may_be_sent_at_once_are_told_with_what_to_do() -> None:
    """As one of a user's own that lacks ShouldTrialStopDelta, and takes as much as gRPC does when it is left alone."""
    server = grpc.server(ThreadPoolExecutor(2))
    api_pb2_grpc.add_EarlyStoppingServicer_to_server(api_pb2_grpc.EarlyStoppingServicer(), server)  # type: ignore[no-untyped-call]
    with TemporaryDirectory(prefix="kt-") as folder, closing(Channels()) as channels:
        server.add_insecure_port(f"unix:{Path(folder) / 'mine'}")
        server.start()
        rules = RemoteEarlyStoppingServices(AddressTemplate.parse("t", f"unix:{folder}/{{algorithm}}"), channels)
        with pytest.raises(ResourceExhaustedError) as caught:
            rules.should_stop("mine", StoppingRequest(STUDY_ID, SPEC, (), Heavy(5 * MIB).all(), ())).result(30)
        server.stop(0).wait()

    assert f"no more than {4 * MIB:,} are taken: have the service take up to 64 MiB" in caught.value.message
    assert "ShouldTrialStopDelta" in caught.value.message
    assert "--max-message" not in caught.value.message
