"""Services that are frozen, replaced while they are, or slow: what becomes of whoever has asked them."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import grpc
import psutil
import pytest

from katib.api.channel import open_channel
from katib.api.client import ManagerClient
from katib.api.tls import ClientTls
from katib.domain.errors import FailedPreconditionError, UnavailableError
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Setting, StudyReason, StudySpec
from katib.domain.views import StudySummary
from katib.manager.remote import watching
from katib.manager.remote.addresses import AddressTemplate, Channels
from katib.manager.remote.earlystopping import RemoteEarlyStoppingServices
from katib.manager.remote.suggestion import RemoteSuggestionServices
from katib.manager.remote.watching import Patience
from katib.manager.service_ports import StoppingRequest, SuggestionReply, SuggestionRequest
from tests.e2e.harness import BIN, Process, World, finished, study, trials, until, wait_until_serving
from tests.faults import forgetful, slow
from tests.ports import free_port

# Everything that takes seconds in earnest takes moments, but for a greeting, which a loaded machine may be slow to give.
SOON = Patience(first=0.3, greeting=2.0, again=0.2, doubt=0.1)
STUDY_ID = "s" + "0" * 15


@pytest.fixture
def channels() -> Iterator[Channels]:
    with closing(Channels(SOON)) as it:
        yield it


def freeze(process: Process) -> None:
    """Returns when it has stopped: the signal reaches one thread after the other."""
    process.popen.send_signal(signal.SIGSTOP)
    until(lambda: psutil.Process(process.popen.pid).status() == psutil.STATUS_STOPPED)


def thaw(process: Process) -> None:
    process.popen.send_signal(signal.SIGCONT)


def at(katib: World) -> AddressTemplate:
    return AddressTemplate(f"unix:{katib.sockets}/s-{{algorithm}}")


def question(spec: StudySpec | None = None) -> SuggestionRequest:
    return SuggestionRequest(
        study_id=STUDY_ID,
        spec=spec or study(),
        history=None,
        unfinished=(),
        finished_count=0,
        unfinished_count=0,
        first_number=1,
    )


def ask(services: RemoteSuggestionServices, algorithm: str = "random") -> "Future[SuggestionReply]":
    return services.generate(algorithm, question(study(algorithm=algorithm)))


@pytest.mark.slow
def test_a_question_to_a_frozen_service_fails_and_its_successor_answers_the_next(
    katib: World, channels: Channels
) -> None:
    services = RemoteSuggestionServices(at(katib), channels)
    service = katib.suggestion("random")
    assert ask(services).result(30).suggestions
    freeze(service)
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match=r"has not answered for \d+ s and takes no new connection"):
        ask(services).result(60)
    assert time.monotonic() - begin < 30
    with pytest.raises(UnavailableError, match="nothing answers at"):
        ask(services).result(30)
    katib.suggestion("random")
    assert ask(services).result(30).suggestions
    thaw(service)
    assert ask(services).result(30).suggestions


@pytest.mark.slow
def test_a_question_to_a_frozen_early_stopping_service_fails(katib: World, channels: Channels) -> None:
    rules = RemoteEarlyStoppingServices(AddressTemplate(f"unix:{katib.sockets}/e-{{algorithm}}"), channels)
    service = katib.earlystopping("medianstopping")
    request = StoppingRequest(
        study_id=STUDY_ID, spec=study(early_stopping="medianstopping"), running=(), finished=(), curves=()
    )
    assert rules.should_stop("medianstopping", request).result(30) == {}
    freeze(service)
    with pytest.raises(UnavailableError, match="takes no new connection"):
        # Long before the deadline of the call.
        rules.should_stop("medianstopping", request).result(30)
    thaw(service)


@pytest.mark.slow
def test_a_question_to_a_frozen_service_at_a_port_fails(katib: World, channels: Channels) -> None:
    port = free_port()
    service = katib.start("katib-suggestion", "random", "--listen", f"localhost:{port}")
    wait_until_serving(f"localhost:{port}", service)
    # In the place of the name stands what does not matter to an address of this machine.
    services = RemoteSuggestionServices(AddressTemplate(f"localhost:{port}"), channels)
    assert ask(services).result(30).suggestions
    freeze(service)
    with pytest.raises(UnavailableError, match="takes no new connection"):
        ask(services).result(30)
    thaw(service)
    assert ask(services).result(30).suggestions


@pytest.mark.long
def test_a_question_at_the_old_of_two_services_is_lost_when_the_new_one_greets(
    katib: World, channels: Channels
) -> None:
    services = RemoteSuggestionServices(at(katib), channels)
    service = katib.suggestion("random")
    assert ask(services).result(30).suggestions
    freeze(service)
    out = ask(services)
    katib.suggestion("random")
    # The new one's socket is another one: who asks now is answered by it, on whatever connection there was.
    assert ask(services).result(30).suggestions
    with pytest.raises(UnavailableError, match="another process"):
        out.result(30)
    thaw(service)
    assert ask(services).result(30).suggestions


@pytest.mark.long
def test_a_frozen_service_that_goes_on_in_time_answers(katib: World) -> None:
    with closing(Channels(Patience(first=0.3, greeting=0.3, again=0.2, doubt=30))) as channels:
        services = RemoteSuggestionServices(at(katib), channels)
        service = katib.suggestion("random")
        assert ask(services).result(30).suggestions
        freeze(service)
        out = ask(services)
        # It has not greeted, and is given its second chance.
        time.sleep(2)
        assert not out.done()
        thaw(service)
        assert out.result(30).suggestions


@pytest.mark.slow
def test_a_service_that_computes_long_is_left_alone_however_often_it_is_looked_after(
    katib: World, channels: Channels, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def counted(address: str, *further: tuple[str, int | str], tls: ClientTls | None) -> grpc.Channel:
        looks.append(address)
        return open_channel(address, *further, tls=tls)

    monkeypatch.setattr(watching, "open_channel", counted)
    begin_slow(katib, seconds=6)
    services = RemoteSuggestionServices(at(katib), channels)
    begin = time.monotonic()
    # The second waits for the first: the service has one thread.
    first, second = ask(services, slow.ALGORITHM), ask(services, slow.ALGORITHM)
    assert first.result(60).suggestions
    assert second.result(60).suggestions
    assert time.monotonic() - begin > 11
    assert len(looks) > 5


@pytest.mark.slow
def test_many_questions_that_are_out_cost_no_thread_each(katib: World, channels: Channels) -> None:
    services = RemoteSuggestionServices(at(katib), channels)
    service = katib.suggestion("random")
    assert ask(services).result(30).suggestions
    freeze(service)
    before = threading.active_count()
    out = [ask(services) for _ in range(100)]
    most = 0
    while not all(call.done() for call in out):
        most = max(most, threading.active_count())
        time.sleep(0.02)
    # The watcher's, and gRPC's own for the connection that is tried.
    assert most - before <= 4
    assert all(isinstance(call.exception(), UnavailableError) for call in out)
    thaw(service)


# Whole studies, with the seconds that a manager has


# Each trial notes that it began, under a name that nobody else uses.
COUNTED = 'echo "$x" > "$COUNT/$TRIAL_ID-$KATIB_ATTEMPT"; sleep 0.1; echo acc=$x'


def begin_slow(katib: World, seconds: int) -> Process:
    listen = f"unix:{katib.sockets}/s-{slow.ALGORITHM}"
    process = katib.start(
        str(BIN / "python"), slow.__file__, "--listen", listen, "--seconds", str(seconds), name="slow"
    )
    until(lambda: "ready" in process.output)
    return process


def begin_forgetful(katib: World) -> Process:
    listen = f"unix:{katib.sockets}/s-{forgetful.ALGORITHM}"
    process = katib.start(str(BIN / "python"), forgetful.__file__, "--listen", listen, "--unknown", "error")
    until(lambda: "ready" in process.output)
    return process


def counted(katib: World) -> Path:
    folder = katib.folder / "count"
    folder.mkdir()
    katib.environment["COUNT"] = str(folder)
    return folder


def looks(client: ManagerClient, study_id: str) -> StudySummary:
    return client.get_study(study_id).summary


def showing(client: ManagerClient, study_id: str, reason: str) -> StudySummary | None:
    summary = looks(client, study_id)
    return summary if summary.reason == reason else None


def check(client: ManagerClient, study_id: str, folder: Path, count: int) -> None:
    """So many trials, numbered without gaps, each executed once."""
    done = trials(client, study_id)
    assert [t.number for t in done] == list(range(1, count + 1))
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{t.id}-1" for t in done)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_study_whose_service_is_frozen_says_so_and_goes_on_with_a_successor(katib: World) -> None:
    folder = counted(katib)
    service = katib.suggestion("random")
    katib.manager()
    with katib.client() as client:
        study_id = client.create_study(study(script=COUNTED, limits={"max_trials": 60, "max_parallel": 2}))
        until(lambda: looks(client, study_id).completed >= 3)
        freeze(service)
        # There is a stock of trials first.
        until(lambda: looks(client, study_id).running == 0)
        frozen = time.monotonic()
        waiting = until(lambda: showing(client, study_id, StudyReason.WAITING_FOR_SUGGESTIONS), seconds=15)
        said = time.monotonic() - frozen
        assert "suggestion-random was asked more than 5 s ago and has not answered" in waiting.message
        away = until(lambda: showing(client, study_id, StudyReason.SUGGESTION_UNAVAILABLE), seconds=60)
        noticed = time.monotonic() - frozen
        katib.suggestion("random")
        begin = time.monotonic()
        until(lambda: looks(client, study_id).trials > away.trials)
        used = time.monotonic() - begin
        thaw(service)
        summary = finished(client, study_id)
        assert (summary.reason, summary.completed, summary.trials) == (StudyReason.MAX_TRIALS, 60, 60)
        check(client, study_id, folder, 60)
    print(f"said after {said:.1f} s, noticed after {noticed:.1f} s, the successor used {used:.1f} s after it served")
    assert said < 10
    assert noticed < 30
    assert used < 3


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_successor_that_is_there_before_its_frozen_predecessor_is_given_up_is_used(katib: World) -> None:
    """One that counts what it gives out: the number of trials is exact all the same."""
    folder = counted(katib)
    service = begin_forgetful(katib)
    katib.manager()
    spec = study(
        script=COUNTED,
        algorithm=forgetful.ALGORITHM,
        parameters=(ParameterConfig("x", ParameterType.INT, FeasibleSpace("0", "1000")),),
        settings=(Setting("SuggestionNum", "40"), Setting("MaxParallel", "2")),
        limits={"max_trials": 40, "max_parallel": 2},
    )
    with katib.client() as client:
        study_id = client.create_study(spec)
        until(lambda: looks(client, study_id).completed >= 3)
        freeze(service)
        frozen = time.monotonic()
        # The question is out.
        until(lambda: looks(client, study_id).running == 0)
        time.sleep(1)
        before = looks(client, study_id).trials
        begin_forgetful(katib)
        until(lambda: looks(client, study_id).trials > before)
        used = time.monotonic() - frozen
        thaw(service)
        assert finished(client, study_id).completed == 40
        check(client, study_id, folder, 40)
    print(f"the successor was used {used:.1f} s after its predecessor froze")
    assert used < 30


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_study_whose_service_computes_for_half_a_minute_says_that_it_waits_and_gets_its_trial(katib: World) -> None:
    folder = counted(katib)
    begin_slow(katib, seconds=26)
    katib.manager()
    with katib.client() as client:
        spec = study(script=COUNTED, algorithm=slow.ALGORITHM, limits={"max_trials": 1, "max_parallel": 1})
        study_id = client.create_study(spec)
        reasons = set()

        def ended() -> bool:
            summary = looks(client, study_id)
            reasons.add(summary.reason)
            return summary.state.finished

        until(ended, seconds=120)
        assert reasons <= {"", StudyReason.WAITING_FOR_SUGGESTIONS, StudyReason.MAX_TRIALS}
        assert StudyReason.WAITING_FOR_SUGGESTIONS in reasons
        check(client, study_id, folder, 1)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_who_creates_a_study_at_a_frozen_service_is_told_in_seconds(katib: World) -> None:
    service = katib.suggestion("random")
    katib.manager()
    with katib.client() as client:
        finished(client, client.create_study(study()))
        freeze(service)
        for most in (25, 5):
            begin = time.monotonic()
            with pytest.raises(FailedPreconditionError, match="suggestion-random") as caught:
                client.create_study(study())
            print(f"after {time.monotonic() - begin:.1f} s: {caught.value}")
            # The second time it has a connection of its own, which nobody takes.
            assert time.monotonic() - begin < most
        thaw(service)
        finished(client, client.create_study(study()))
