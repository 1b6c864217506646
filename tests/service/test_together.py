"""Clients that ask an early-stopping rule at the same moment share its answers, and hold up nobody who asks another one."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import EarlyStoppingServicer, add_EarlyStoppingServicer_to_server
from katib.domain.errors import FailedPreconditionError, UnavailableError
from katib.manager.service.together import Together
from tests.e2e.harness import World, until, world
from tests.service.test_contract import idle

CALLERS = 8


class Slow(EarlyStoppingServicer):
    """It stops all that runs, when it is let."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.questions: list[set[str]] = []

    def ShouldTrialStop(  # noqa: N802 - the wire's name
        self, request: pb.ShouldTrialStopRequest, _context: grpc.ServicerContext
    ) -> pb.ShouldTrialStopReply:
        self.questions.append({trial.trial_id for trial in request.running_trials})
        assert self.answers.wait(60)
        return pb.ShouldTrialStopReply(trials=request.running_trials)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[World, Slow]]:
    with world(tmp_path) as it:
        service = Slow()
        server = grpc.server(ThreadPoolExecutor(2 * CALLERS), options=(("grpc.so_reuseport", 0),))
        add_EarlyStoppingServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(f"unix:{it.sockets}/e-slow")
        server.start()
        it.suggestion("random")
        it.manager()
        yield it, service
        service.answers.set()
        server.stop(0).wait()


@pytest.mark.long
def test_those_who_ask_a_rule_while_it_computes_share_its_next_answer(slow: tuple[World, Slow]) -> None:
    it, service = slow
    with it.client() as client, ThreadPoolExecutor(CALLERS) as pool:
        study_id = client.create_study(idle("asked"), "")
        question = pb.EarlyStoppingRequest(study_id=study_id, early_stopping_algorithm="slow")
        (first,), _ = client.suggest_trials(study_id, algorithm="random")
        asked = [pool.submit(client._call, "EarlyStopping", question)]
        until(lambda: len(service.questions) == 1)
        (second,), _ = client.suggest_trials(study_id, algorithm="random")
        asked += [pool.submit(client._call, "EarlyStopping", question) for _ in range(CALLERS - 1)]
        time.sleep(0.5)
        assert len(service.questions) == 1
        service.answers.set()
        found = [{trial.trial_id for trial in future.result(60).trials} for future in asked]
    # What is new is in the answer of all that came after it.
    assert found == [{first.id}] + [{first.id, second.id}] * (CALLERS - 1)
    assert service.questions == [{first.id}, {first.id, second.id}]


class Questions:
    """Each is made when it is let, and answered when it is let."""

    def __init__(self) -> None:
        self.making = 0
        self.most = 0
        self.made: list[str] = []
        self.may_be_made = threading.Semaphore(0)
        self.answers: dict[str, Future[str]] = {}
        self._lock = threading.Lock()

    def start(self, name: str) -> "Callable[[], Future[str]]":
        def make() -> "Future[str]":
            with self._lock:
                self.making += 1
                self.most = max(self.most, self.making)
            assert self.may_be_made.acquire(timeout=30)
            with self._lock:
                self.making -= 1
                answer = self.answers.setdefault(name, Future())
                # Last: whoever sees it there answers.
                self.made.append(name)
            return answer

        return make


def ask(together: Together[str], questions: Questions, name: str, seconds: float = 30.0) -> str:
    return together.ask(("study", name), questions.start(name), seconds, f"earlystopping-{name}")


def test_few_questions_are_made_at_once_and_their_answers_waited_for_side_by_side() -> None:
    together, questions = Together[str](made_at_once=2), Questions()
    with ThreadPoolExecutor(5) as pool:
        asked = {name: pool.submit(ask, together, questions, name) for name in "abcde"}
        until(lambda: questions.making == 2)
        time.sleep(0.2)
        assert questions.making == 2
        questions.may_be_made.release(5)
        # None has been answered yet.
        until(lambda: len(questions.made) == 5)
        for name, answer in questions.answers.items():
            answer.set_result(f"{name} it is")
        assert {name: future.result(30) for name, future in asked.items()} == {n: f"{n} it is" for n in "abcde"}
    assert questions.most == 2
    assert together._lines == {}


def test_a_failure_is_told_to_all_who_share_it_and_the_next_who_ask_are_asked_for_anew() -> None:
    together, questions = Together[str](), Questions()
    questions.may_be_made.release(9)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(ask, together, questions, "a")
        until(lambda: len(questions.made) == 1)
        rest = [pool.submit(ask, together, questions, "a") for _ in range(4)]
        until(lambda: together._lines["study", "a"].callers == 5)
        questions.answers.pop("a").set_exception(FailedPreconditionError("not so"))
        with pytest.raises(FailedPreconditionError):
            first.result(30)
        until(lambda: len(questions.made) == 2)
        questions.answers.pop("a").set_exception(FailedPreconditionError("nor so"))
        failures = [future.exception(30) for future in rest]
    assert [(type(failure), str(failure)) for failure in failures] == [(FailedPreconditionError, "nor so")] * 4
    # Each has its own, with the traceback of its own thread.
    assert len({id(failure) for failure in failures}) == 4
    questions.answers["a"] = Future()
    questions.answers["a"].set_result("now")
    assert ask(together, questions, "a") == "now"


def test_who_waits_longer_than_for_an_answer_is_told_what_for() -> None:
    together, questions = Together[str](made_at_once=1), Questions()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, together, questions, "a")
        until(lambda: questions.making == 1)
        with pytest.raises(UnavailableError, match="earlystopping-a still computes what others asked for; try again"):
            ask(together, questions, "a", 0.1)
        with pytest.raises(
            UnavailableError, match="earlystopping-b was not asked: others' questions are still being made"
        ):
            ask(together, questions, "b", 0.1)
        questions.may_be_made.release()
        until(lambda: len(questions.made) == 1)
        questions.answers["a"].set_result("late")
        assert first.result(30) == "late"
    assert together._lines == {}


def test_who_has_no_time_left_to_ask_in_leaves_that_to_another_one_who_shares_the_question() -> None:
    together, questions = Together[str](made_at_once=1), Questions()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, together, questions, "a")
        until(lambda: questions.making == 1)
        questions.may_be_made.release()
        until(lambda: questions.made == ["a"])
        hasty = pool.submit(ask, together, questions, "a", 1.0)
        until(lambda: together._lines["study", "a"].callers == 2)
        patient = pool.submit(ask, together, questions, "a")
        until(lambda: together._lines["study", "a"].callers == 3)
        other = pool.submit(ask, together, questions, "b")
        until(lambda: questions.making == 1)
        # Both of them share the question that comes next, and the one that asked first asks it.
        questions.answers.pop("a").set_result("was")
        assert first.result(30) == "was"
        with pytest.raises(UnavailableError, match="try again"):
            hasty.result(30)
        questions.may_be_made.release(2)
        until(lambda: sorted(questions.made) == ["a", "a", "b"])
        questions.answers["a"].set_result("is")
        questions.answers["b"].set_result("b it is")
        assert (patient.result(30), other.result(30)) == ("is", "b it is")
    assert together._lines == {}
