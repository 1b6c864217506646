"""Calls beyond a limit are refused with a sentence, before anything of them is read; those of others are not."""

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.credentials import bearer
from katib.api.errors import from_rpc_error
from katib.api.failover import Failover
from katib.api.rpc import LIVE
from katib.domain.errors import ResourceExhaustedError
from katib.sdk.environment import TrialEnvironment
from katib.sdk.sender import Outcome, Sender
from tests.auth.conftest import Guarded
from tests.e2e.harness import study, until
from tests.limits.conftest import Limited

pytestmark = pytest.mark.long

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
S = 60


def stub(it: Guarded) -> ManagerStub:
    return ManagerStub(open_channel(it.world.address))


def at_once(it: Guarded, caller: str, calls: int) -> "list[Any]":
    """Ends of so many calls that do not wait for one another."""
    who = stub(it)
    metadata = bearer(it.secrets[caller])
    futures = [who.WhoAmI.future(pb.WhoAmIRequest(), timeout=S, metadata=metadata) for _ in range(calls)]
    until(lambda: all(f.done() for f in futures), S)
    return futures


def known(it: Guarded, *names: str) -> None:
    """Callers whose tokens the manager has seen."""
    for name in names:
        it.token(name, "user")
        with it.client(name) as client:
            client.who_am_i()


def test_who_calls_too_often_is_told_when_to_come_back_and_the_others_are_answered(limited: Limited) -> None:
    it = limited(max_rate_per_caller=20)
    known(it, "ann", "bob")
    ends = at_once(it, "ann", 100)
    refused = [end for end in ends if end.code() is FULL]
    # A burst of two seconds, and what falls due while they arrive.
    assert 100 - len(refused) >= 35
    assert len(refused) >= 10
    error = from_rpc_error(refused[0])
    assert isinstance(error, ResourceExhaustedError)
    assert error.message.startswith("ann makes more than 20 calls a second (--max-rate-per-caller): wait ")
    assert error.retry_after is not None
    assert 0 < error.retry_after < 10
    assert {end.code() for end in at_once(it, "bob", 5)} == {grpc.StatusCode.OK}


def test_a_client_of_ours_waits_as_long_as_it_is_told_and_then_is_answered(limited: Limited) -> None:
    it = limited(max_rate_per_caller=20)
    known(it, "ann")
    assert FULL in {end.code() for end in at_once(it, "ann", 100)}
    with it.client("ann") as client:
        for _ in range(5):
            assert client.who_am_i()[0].name == "ann"


def test_a_refusal_that_says_when_to_come_back_is_waited_for_and_one_that_does_not_is_raised() -> None:
    failover = Failover(["localhost:1"], ())
    busy, full = ResourceExhaustedError("later", retry_after=0.3), ResourceExhaustedError("never")
    began = time.monotonic()
    failover._wait_until_asked(busy, 1, began + 60)
    assert time.monotonic() - began >= 0.3
    with pytest.raises(ResourceExhaustedError, match="later"):
        failover._wait_until_asked(busy, 1, time.monotonic() + 0.1)
    assert full.retry_after is None


def test_all_calls_together_have_a_rate_too(limited: Limited) -> None:
    it = limited(max_rate=10, auth="none")
    ends = at_once(it, "", 60)
    texts = {end.details() for end in ends if end.code() is FULL}
    assert texts
    assert all(
        text.startswith("this manager is called more than 10 times a second (--max-rate): wait") for text in texts
    )


def test_calls_that_wait_have_places_and_further_ones_are_refused(limited: Limited) -> None:
    it = limited(max_waiting_per_caller=5)
    known(it, "ann", "bob")
    gate, held = threading.Event(), []
    service = it.manager.service
    real = service.who_am_i

    def waits() -> Any:
        held.append(1)
        gate.wait(S)
        return real()

    service.who_am_i = waits  # type: ignore[method-assign]
    try:
        who = stub(it)
        metadata = bearer(it.secrets["ann"])
        futures = [who.WhoAmI.future(pb.WhoAmIRequest(), timeout=S, metadata=metadata) for _ in range(60)]
        # All threads but some, and the places: what is beyond is answered while those wait.
        done = until(lambda: [f for f in futures if f.done()], S)
        assert {f.code() for f in done} == {FULL}
        assert "ann has 5 calls waiting, the most of one caller (--max-waiting-per-caller)" in done[0].details()
        with it.client("bob") as client:
            assert client.list_studies().items == []
    finally:
        gate.set()
    until(lambda: all(f.done() for f in futures), S)
    codes = Counter(f.code() for f in futures)
    assert codes[grpc.StatusCode.OK] >= 5
    assert set(codes) == {FULL, grpc.StatusCode.OK}


def test_streams_are_counted_for_each_caller_and_in_all(limited: Limited) -> None:
    it = limited(max_streams=3, max_streams_per_caller=2)
    known(it, "ann", "bob")
    with it.client("ann") as client:
        study_id = client.create_study(study(algorithm="", access_permissions=("reader:bob",)))
    who = stub(it)

    def watch(name: str) -> Any:
        stream = who.WatchStudy(pb.WatchStudyRequest(study_id=study_id), timeout=S, metadata=bearer(it.secrets[name]))
        next(stream)
        return stream

    first, _ = watch("ann"), watch("ann")
    with pytest.raises(grpc.RpcError) as refused:
        watch("ann")
    assert refused.value.code() is FULL
    assert refused.value.details().startswith(
        "ann has 2 streams open, the most of one caller (--max-streams-per-caller)"
    )
    # Kept: a stream that nobody refers to any more is cancelled.
    third = watch("bob")
    with pytest.raises(grpc.RpcError) as refused:
        watch("bob")
    assert third.is_active()
    assert refused.value.details().startswith("3 streams are open, the most that this manager takes (--max-streams)")
    first.cancel()

    def again() -> Any:
        try:
            return watch("bob")
        except grpc.RpcError:
            return None

    assert until(again, S)


def test_a_message_that_is_too_large_is_not_read_and_the_client_says_what_to_do(limited: Limited) -> None:
    it = limited(max_message=1, auth="none")
    request = pb.StopStudyRequest(study_id="x" * 2_000_000)
    with pytest.raises(grpc.RpcError) as refused:
        stub(it).StopStudy(request, timeout=S)
    assert refused.value.code() is FULL
    error = from_rpc_error(refused.value)
    assert error.message.startswith("a message of 2000")
    assert "1048576" in error.message
    assert "--max-message" in error.message


def test_who_sends_too_much_is_told_so_and_may_go_on_in_a_while(limited: Limited) -> None:
    it = limited(max_data_per_caller=1)
    known(it, "ann", "bob")
    who, request = stub(it), pb.StopStudyRequest(study_id="x" * 8_000_000)

    def stop_study(name: str) -> Any:
        return who.StopStudy.future(request, timeout=S, metadata=bearer(it.secrets[name]))

    sent = [stop_study("ann") for _ in range(4)]
    until(lambda: all(f.done() for f in sent), S)
    # Those that were being read before it was known how large they are.
    assert grpc.StatusCode.NOT_FOUND in {f.code() for f in sent}
    (end,) = at_once(it, "ann", 1)
    assert end.code() is FULL
    error = from_rpc_error(end)
    assert isinstance(error, ResourceExhaustedError)
    assert error.message.startswith("ann has sent more than 1 MiB a second (--max-data-per-caller): wait ")
    assert error.retry_after
    assert at_once(it, "bob", 1)[0].code() is grpc.StatusCode.OK


def test_a_trial_that_floods_uses_up_its_own_calls_and_nobody_elses(limited: Limited) -> None:
    it = limited(max_rate_per_trial=10)
    known(it, "ann")
    with it.client("ann") as client:
        study_id = client.create_study(study(algorithm=""))
        (one, other), _ = client.suggest_trials(study_id, 2, "c")
    access = it.manager.service._context.access
    who = stub(it)
    tokens = {trial.id: access._token(trial.id, 1) for trial in (one, other)}

    def report(trial_id: str) -> Any:
        request = pb.ReportMetricsRequest(trial_id=trial_id, attempt=1)
        return who.ReportMetrics.future(request, timeout=S, metadata=bearer(tokens[trial_id]))

    report(one.id).result()
    report(other.id).result()
    flood = [report(one.id) for _ in range(60)]
    until(lambda: all(f.done() for f in flood), S)
    refused = [f for f in flood if f.code() is FULL]
    assert refused
    assert refused[0].details().startswith(f"trial {one.id} makes more than 10 calls a second (--max-rate-per-trial)")
    assert report(other.id).result() is not None
    with it.client("ann") as client:
        assert client.get_trial(one.id).trial.id == one.id


def test_a_program_that_reports_is_patient_with_a_rate_and_not_with_a_quota(limited: Limited, tmp_path: Path) -> None:
    it = limited(max_rate_per_trial=1, max_observations_per_trial=2)
    known(it, "ann")
    with it.client("ann") as client:
        study_id = client.create_study(study(algorithm=""))
        (trial,), _ = client.suggest_trials(study_id, 1, "c")
        token = it.manager.service._context.access._token(trial.id, 1)
        environment = TrialEnvironment(trial.id, 1, (it.world.address,), token)
        sender = Sender(environment, "test")
        outcomes = []
        while Outcome.LATER not in outcomes:
            outcomes.append(sender.send(()))
        channel = sender._channel
        assert sender.trouble.startswith("RESOURCE_EXHAUSTED: trial")
        until(lambda: sender.send(()) is Outcome.TAKEN, S)
        assert sender._channel is channel
        sender.close()


def test_calls_whose_message_never_comes_hold_nobody_up_and_are_ended(limited: Limited) -> None:
    it = limited()
    known(it, "ann")
    silent = threading.Event()

    def nothing() -> Any:
        silent.wait(S)
        yield from ()

    with open_channel(it.world.address) as channel:
        call = channel.stream_unary("/api.Manager/WhoAmI", lambda data: data, lambda data: data)
        watch = channel.stream_stream("/api.Manager/WatchStudy", lambda data: data, lambda data: data)
        held = [call.future(nothing(), timeout=S) for _ in range(100)]
        streams = [watch(nothing(), timeout=S) for _ in range(300)]
        with it.client("ann") as client:
            for _ in range(20):
                assert client.within(10).who_am_i()[0].name == "ann"
        live = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=LIVE), timeout=10)
        assert live.status == health_pb2.HealthCheckResponse.SERVING
        # Those in hand are ended after some seconds, and the next take their places.
        until(lambda: [f for f in held if f.done()], S)
        silent.set()
        for stream in streams:
            stream.cancel()
