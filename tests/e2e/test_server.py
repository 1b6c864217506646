"""The manager as a server: health, reflection, HTTP, streams, limits, drain."""

import json
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from katib.api import api_pb2 as pb
from katib.api.channel import open_channel
from tests.e2e.harness import World, finished, stub, study, until
from tests.ports import free_port

pytestmark = pytest.mark.long


def test_many_watchers_take_no_thread_from_the_other_calls(running: World) -> None:
    with running.client() as client:
        study_id = client.create_study(study(script="echo acc=1; sleep 600", limits={"max_trials": 2}))
        until(lambda: client.get_study(study_id).summary.running == 2)
        manager = stub(running.address)
        calls = [manager.WatchStudy(pb.WatchStudyRequest(study_id=study_id)) for _ in range(100)]
        for call in calls:
            next(call)
        begin = time.monotonic()
        for _ in range(20):
            client.get_study(study_id)
        assert time.monotonic() - begin < 10
        client.stop_study(study_id)
        ends = [list(call)[-1].study.state for call in calls]
        assert set(ends) == {pb.STUDY_STOPPED}


def test_a_watcher_sees_every_trial_reach_its_end_and_the_stream_ends_with_the_study(running: World) -> None:
    with running.client() as client:
        study_id = client.create_study(study(limits={"max_trials": 20, "max_parallel": 4}))
        last: dict[str, str] = {}
        revisions = []
        for event in client.watch_study(study_id):
            revisions.append(event.revision)
            last.update({t.id: t.state.value for t in event.trials})
        assert sorted(last.values()) == ["COMPLETED"] * 20
        assert revisions == sorted(revisions)
        # Going on from the end says only how it stands.
        (event,) = client.watch_study(study_id, revisions[-1])
        assert (event.study.completed, list(event.trials)) == (20, [])


def test_a_watcher_that_leaves_gives_its_thread_back(running: World) -> None:
    with running.client() as client:
        study_id = client.create_study(study(script="sleep 600", limits={"max_trials": 1}))
        manager = stub(running.address)
        # More than there are threads for streams, one after the other.
        for _ in range(300):
            call = manager.WatchStudy(pb.WatchStudyRequest(study_id=study_id))
            next(call)
            call.cancel()
        client.stop_study(study_id)
        finished(client, study_id)


def test_health_and_reflection_answer(running: World) -> None:
    with open_channel(running.address) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="api.Manager"), timeout=10
        )
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        assert "api.Manager" in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_a_message_over_the_limit_is_resource_exhausted(running: World) -> None:
    huge = pb.CreateStudyRequest(study_config=pb.StudyConfig(name="x" * (65 * 1024 * 1024)))
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(running.address, options=options) as channel:
        call = channel.unary_unary(
            "/api.Manager/CreateStudy",
            request_serializer=pb.CreateStudyRequest.SerializeToString,
            response_deserializer=pb.CreateStudyReply.FromString,
        )
        try:
            call(huge, timeout=60)
        except grpc.RpcError as error:
            code = error.code()
        else:
            code = None
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_http_tells_health_readiness_and_metrics(katib: World) -> None:
    port = free_port()
    katib.suggestion("random")
    manager = katib.manager("--http", f"localhost:{port}", "--log-format", "json")
    with katib.client() as client:
        finished(client, client.create_study(study()))
    base = f"http://localhost:{port}"
    assert get(f"{base}/healthz") == (200, "ok\n")
    assert get(f"{base}/readyz") == (200, "ready\n")
    status, text = get(f"{base}/metrics")
    assert status == 200
    assert 'katib_trial_moves_total{reason="",to="COMPLETED"} 4.0' in text
    assert get(f"{base}/else")[0] == 404
    assert manager.end() == 0
    lines = [json.loads(line) for line in manager.output.splitlines()]
    assert any(line["message"].startswith("settings:") for line in lines)
    assert any("study_id" in line for line in lines)


def test_a_password_in_the_database_address_is_never_shown(katib: World) -> None:
    process = katib.start(
        "katib-manager", "--database", "mysql+pymysql://u:s3cret@localhost:1/katib", "--listen", "localhost:0"
    )
    until(lambda: "settings:" in process.output)
    process.end()
    assert "s3cret" not in process.output
    assert "***" in process.output


def test_an_address_in_use_is_one_sentence(katib: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = katib.start("katib-manager", "--listen", f"127.0.0.1:{port}", "--http", "")
        assert process.popen.wait(30) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in process.output
    assert "Traceback" not in process.output


def test_sigterm_lets_a_call_under_way_end_and_exits_with_0(katib: World) -> None:
    katib.suggestion("random")
    manager = katib.manager()
    with katib.client() as client:
        study_id = client.create_study(study(script="echo acc=1; sleep 3"))
        events: list[int] = []
        watcher = threading.Thread(target=lambda: events.extend(e.revision for e in client.watch_study(study_id)))
        watcher.start()
        until(lambda: events)
        assert manager.end(signal.SIGTERM) == 0
        watcher.join(10)
        assert not watcher.is_alive()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
