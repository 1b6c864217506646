"""The log of a run that has ended is asked for again while its Pod is there, whoever says that there is none; why it is lost in
the end is told."""

import time

import pytest

from katib.domain.errors import UnavailableError
from katib.worker.base import Output, RunPhase
from katib.worker.kubernetes.policy import Policy
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, QUICK, SPEC, until
from tests.worker.kubernetes.messages import Answer, refusal

# What a real one answers while the kubelet, or its container runtime, has just been started.
UNKNOWN_POD = refusal(404, "the server could not find the requested resource ( pods/log x)", "NotFound")
NO_RUNTIME = refusal(400, "rpc error: code = Unavailable desc = connection error", "BadRequest")
WORDS = b"unable to retrieve container logs for containerd://0123"
INSTEAD = Answer(raw=lambda h: (h.begin("text/plain"), h.chunk(WORDS), h.end()))
DENIED = refusal(
    403,
    'pods "x" is forbidden: User "katib" cannot get resource "pods/log" in API group "" in the namespace "default"',
    "Forbidden",
)


def refuse_logs(api, answer: Answer, times: int = 1 << 30) -> list[str]:
    """So often, once the run is over: nothing of it is read before. Returns whose were asked for then."""
    asked: list[str] = []

    def fault(request):
        if request.part != "log":
            return None
        pod = api.get(request.name)
        if pod is not None and pod["status"]["phase"] in ("Pending", "Running"):
            return refusal(400, "is waiting to start", "BadRequest")
        asked.append(request.name)
        return answer if len(asked) <= times else None

    api.faults.append(fault)
    return asked


def impatient(new_worker, seconds: float = 1.0, policy: Policy | None = None) -> Driver:
    worker = new_worker(policy, fence_s=0.5, reflector_options=QUICK)
    worker._outputs._patience_s = seconds
    return Driver(worker, SPEC, DEADLINE_S)


def end(driver: Driver, script: str = "echo x=1") -> tuple[str, Output]:
    name = driver.start("sh", "-c", f"sleep 0.3; {script}")
    driver.ended(name)
    return name, driver.worker.output(driver.study_id, name, "", 1000)


@pytest.mark.long
@pytest.mark.parametrize("answer", [UNKNOWN_POD, NO_RUNTIME, INSTEAD], ids=["404", "400", "words in its place"])
def test_a_log_that_is_refused_while_the_pod_is_there_is_asked_for_again(api, driver, answer) -> None:
    asked = refuse_logs(api, answer, times=2)
    _, output = end(driver)
    assert ([line.text for line in output.lines], output.end, output.truncated) == (["x=1"], True, False)
    assert len(asked) == 3


@pytest.mark.long
@pytest.mark.parametrize(
    ("answer", "words"),
    [(UNKNOWN_POD, "could not find"), (NO_RUNTIME, "connection error"), (INSTEAD, WORDS.decode())],
    ids=["404", "400", "words in its place"],
)
def test_one_that_is_refused_for_too_long_is_lost_and_it_is_said_why(api, node, new_worker, answer, words) -> None:
    asked = refuse_logs(api, answer)
    _, output = end(impatient(new_worker))
    assert (list(output.lines), output.end, output.truncated) == ([], True, True)
    assert words in output.cause
    assert "in vain for" in output.cause
    assert len(asked) > 1


@pytest.mark.long
@pytest.mark.parametrize("printed", [b"", b"x=1\nwhy\n"])
@pytest.mark.parametrize("offset", [0, -600])
def test_what_a_node_says_in_the_place_of_a_log_is_not_shown_as_what_the_program_printed(
    api, driver, printed, offset
) -> None:
    name = driver.start("sh", "-c", "echo x=1; echo why; exit 3")
    driver.ended(name)
    refuse_logs(api, Answer(raw=lambda h: (h.begin("text/plain"), h.chunk(printed + WORDS), h.end())))
    chunk = driver.worker.log(driver.study_id, name, offset, 600)
    assert (chunk.data, chunk.next_offset, chunk.finished) == (printed, len(printed), True)


@pytest.mark.long
def test_the_log_of_a_run_that_has_failed_is_not_waited_for_as_long(api, node, new_worker, monkeypatch) -> None:
    monkeypatch.setattr("katib.worker.kubernetes.outputs.FAILED_PATIENCE_S", 0.5)
    refuse_logs(api, UNKNOWN_POD)
    driver = impatient(new_worker, 600.0)
    name, output = end(driver, "exit 3")
    assert (output.end, output.truncated) == (True, True)
    assert driver.status(name).phase is RunPhase.FAILED


@pytest.mark.long
def test_the_log_of_a_pod_that_is_gone_is_lost_at_once(api, driver) -> None:
    asked = refuse_logs(api, UNKNOWN_POD)
    name = driver.start("sh", "-c", "sleep 0.3; echo x=1")
    until("nobody asks for it", lambda: asked)
    api.remove("default", name)
    begin = time.monotonic()
    driver.ended(name)
    assert time.monotonic() - begin < 5.0
    output = driver.worker.output(driver.study_id, name, "", 1000)
    assert (output.end, output.truncated) == (True, True)
    assert "its Pod is gone" in output.cause


@pytest.mark.long
def test_a_log_that_was_read_whole_is_not_lost_with_its_pod(api, driver, caplog) -> None:
    name = driver.start("sh", "-c", f"yes {'x' * 1000} | head -n 400")
    driver.ended(name)
    log = driver.worker._runs.get(name).log
    outputs = [driver.worker.output(driver.study_id, name, "", 20000)]

    def take() -> bool:
        outputs.append(driver.worker.output(driver.study_id, name, outputs[-1].cursor, 20000))
        return outputs[-1].end

    until("it was never read", lambda: log.complete or (take() and False))
    api.remove("default", name)
    until("its Pod stays", lambda: log.gone)
    until("it never ended", take)
    assert sum(len(output.lines) for output in outputs) == 400
    assert not any(output.truncated for output in outputs)
    assert "is lost" not in caplog.text


@pytest.mark.long
def test_a_log_that_could_not_be_followed_has_all_its_time_once_its_run_has_ended(api, node, new_worker) -> None:
    driver = impatient(new_worker, 1.5)
    fault = refusal(500, "dial tcp 10.0.0.1:10250: connect: connection refused")
    api.faults.append(lambda request: fault if request.part == "log" else None)
    name = driver.start("sh", "-c", "sleep 3; echo x=1")
    until("it never ended", lambda: api.get(name)["status"]["phase"] == "Succeeded")
    time.sleep(0.3)
    api.faults.clear()
    driver.ended(name)
    assert driver.texts(name) == ["x=1"]


@pytest.mark.long
def test_a_right_that_is_missing_wakes_the_study_to_say_so_and_is_waited_for(api, node, new_worker) -> None:
    driver = impatient(new_worker)
    refuse_logs(api, DENIED)
    name = driver.start("sh", "-c", "echo x=1")
    until("it never ended", lambda: api.get(name)["status"]["phase"] == "Succeeded")

    def told() -> bool:
        # By a wake alone.
        return driver.woken.wait(DEADLINE_S) and not driver.woken.clear() and "grant" in driver.status(name).message

    until("nobody is told", told)
    time.sleep(2.0)
    status = driver.status(name)
    assert status.phase is RunPhase.RUNNING
    assert "the manager may not get pods/log" in status.message
    assert status.ended_at is not None
    with pytest.raises(UnavailableError, match="grant the verb get on pods/log"):
        driver.worker.output(driver.study_id, name, "", 1000)
    api.faults.clear()
    driver.ended(name)
    assert driver.texts(name) == ["x=1"]


@pytest.mark.long
def test_a_run_whose_log_may_not_be_read_is_over_a_while_after_it_was_stopped(api, driver, monkeypatch) -> None:
    monkeypatch.setattr("katib.worker.kubernetes.outputs.HURRIED_PATIENCE_S", 0.5)
    refuse_logs(api, DENIED)
    name = driver.start("sh", "-c", "echo x=1")
    driver.until("it does not say why", lambda: "grant" in driver.status(name).message)
    driver.worker.stop(driver.study_id, name)
    driver.ended(name)
    output = driver.worker.output(driver.study_id, name, "", 1000)
    assert (output.end, output.truncated) == (True, True)
    assert "grant the verb get on pods/log" in output.cause


@pytest.mark.long
def test_what_keeps_a_running_trial_from_being_followed_is_said_when_it_lasts(api, driver, monkeypatch) -> None:
    monkeypatch.setattr("katib.worker.kubernetes.runlog._SAID_AFTER_S", 1.0)
    api.faults.append(lambda request: DENIED if request.part == "log" else None)
    name = driver.start("sh", "-c", "echo x=1; sleep 600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    driver.until(
        "it does not say why", lambda: "cannot be read now: the manager may not" in driver.status(name).message
    )
    api.faults.clear()
    driver.printed(name, "x=1")
    driver.until("it still says so", lambda: driver.status(name).message == "")


@pytest.mark.long
def test_the_pod_of_a_run_whose_log_could_not_be_read_is_kept_like_one_that_failed(api, node, new_worker) -> None:
    driver = impatient(new_worker)
    refuse_logs(api, UNKNOWN_POD)
    lost, _ = end(driver)
    api.faults.clear()
    read, _ = end(driver)
    for name in (lost, read):
        driver.worker.delete(driver.study_id, name)
    until("the other stays", lambda: api.get(read) is None)
    time.sleep(1.0)
    assert api.get(lost) is not None
