"""What runs print comes once and whole, whatever becomes of its stream, its log or the manager."""

import time

import pytest

from katib.worker.base import RunPhase
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, SPEC, successor, until
from tests.worker.kubernetes.messages import refusal


@pytest.mark.long
def test_what_was_printed_while_no_manager_was_there_comes_once(api, driver, new_worker):
    name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo x=$i; sleep 0.1; done")
    driver.printed(name, "x=2")
    output = driver.worker.output(driver.study_id, name, "", 65536)
    driver.worker.close()
    time.sleep(1.0)
    other = successor(driver, new_worker)
    other.ended(name)
    lines, _ = other.read(name, output.cursor)
    assert [line.text for line in [*output.lines, *lines]] == [f"x={i}" for i in range(1, 9)]


@pytest.mark.long
def test_a_log_that_was_rotated_away_meanwhile_is_said_to_be_truncated(api, node, driver, new_worker):
    name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo x=$i; sleep 0.2; done; sleep 600")
    driver.printed(name, "x=2")
    output = driver.worker.output(driver.study_id, name, "", 65536)
    driver.worker.close()
    log = node.log(api.get(name)["metadata"]["uid"])
    until("it never printed", lambda: len(log.lines) == 8)
    log.rotate(6)
    other = successor(driver, new_worker)
    truncated = []

    def take() -> bool:
        more = other.worker.output(driver.study_id, name, output.cursor, 65536)
        truncated.append(more.truncated)
        return [line.text for line in more.lines] == ["x=7", "x=8"]

    other.until("the rest never came", take)
    assert any(truncated)


@pytest.mark.long
def test_what_was_printed_after_a_rotation_that_following_missed_is_read_at_the_end(node, driver):
    """A kubelet ends a stream at the end of an older file if the container has ended before it got there."""
    node.rotates_after = 300
    name = driver.start("sh", "-c", f"yes {'x' * 1000} | head -n 400; echo acc=0.75")
    driver.ended(name)
    texts = driver.texts(name)
    assert len(texts) == 401
    assert texts[-1] == "acc=0.75"


@pytest.mark.long
def test_a_stream_that_is_cut_is_taken_up_where_it_was(api, driver):
    name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6; do echo x=$i; sleep 0.2; done")
    driver.printed(name, "x=1")
    driver.worker._runs.get(name).log.stream.shut()
    driver.ended(name)
    assert driver.texts(name) == [f"x={i}" for i in range(1, 7)]


@pytest.mark.long
def test_more_output_than_is_held_is_given_whole_and_in_bounded_memory(driver):
    name = driver.start("sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo value=$i; i=$((i+1)); done")
    driver.ended(name)
    log = driver.worker._runs.get(name).log
    most, texts, cursor = 0, [], ""
    while True:
        most = max(most, log.held)
        output = driver.worker.output(driver.study_id, name, cursor, 20000)
        texts += [line.text for line in output.lines]
        cursor = output.cursor
        if output.end:
            break
    assert texts == [f"value={i}" for i in range(20000)]
    assert most < 1_500_000


@pytest.mark.slow
def test_when_there_are_more_runs_than_streams_each_has_its_turn(node, new_worker, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.outputs._REST_S", 0.5)
    driver = Driver(new_worker(streams=2), SPEC, DEADLINE_S)
    names = [driver.start("sh", "-c", "echo one; sleep 1; echo two; sleep 600") for _ in range(6)]
    for name in names:
        driver.printed(name, "one")
    for name in names:
        driver.printed(name, "two")


@pytest.mark.long
def test_a_log_that_the_node_does_not_give_is_waited_for_and_then_lost(api, node, new_worker):
    worker = new_worker()
    worker._outputs._patience_s = 1.0
    driver = Driver(worker, SPEC, DEADLINE_S)
    api.faults.append(
        lambda r: refusal(500, "dial tcp 10.0.0.1:10250: connect: connection refused") if r.part == "log" else None
    )
    name = driver.start("sh", "-c", "echo lost")
    driver.until("it does not say why", lambda: "connection refused" in driver.status(name).message)
    assert driver.status(name).phase is RunPhase.RUNNING
    assert driver.ended(name).phase is RunPhase.SUCCEEDED
    output = driver.worker.output(driver.study_id, name, "", 1000)
    assert (list(output.lines), output.end, output.truncated) == ([], True, True)


def vanish(api, node: str, after_s: float) -> list[str]:
    """Packets to it come nowhere: so long does a request for a log there take. Returns which were asked for."""
    asked: list[str] = []

    def fault(request):
        pod = api.get(request.name) if request.part == "log" else None
        if pod is None or pod["spec"].get("nodeName") != node:
            return None
        asked.append(request.name)
        time.sleep(after_s)
        return refusal(500, "dial tcp 10.0.0.1:10250: i/o timeout")

    api.faults.append(fault)
    return asked


def start_on(api, node, driver, name_of_node: str) -> str:
    """A run that has ended on that node without anything of its output having been read."""
    node.name = name_of_node
    run = driver.run("sh", "-c", "sleep 0.3; echo x=1")
    api.faults.insert(0, lambda r: refusal(400, "is waiting to start") if not_over(api, r, run.name) else None)
    driver.worker.create(run)
    until("it has no node", lambda: api.get(run.name)["spec"].get("nodeName"))
    return run.name


def not_over(api, request, name: str) -> bool:
    return request.part == "log" and request.name == name and api.get(name)["status"]["phase"] != "Succeeded"


@pytest.mark.long
def test_a_node_that_is_dead_does_not_hold_up_the_ends_on_others(api, node, new_worker):
    driver = Driver(new_worker(), SPEC, DEADLINE_S)
    asked = vanish(api, "dead", 5.0)
    dead = [start_on(api, node, driver, "dead") for _ in range(40)]
    until("nobody asks the dead node", lambda: len(asked) >= 8)
    until("they are not over", lambda: all(api.get(name)["status"]["phase"] == "Succeeded" for name in dead))
    begin = time.monotonic()
    name = start_on(api, node, driver, "node-1")
    driver.ended(name)
    assert time.monotonic() - begin < 2.5
    assert driver.texts(name) == ["x=1"]


@pytest.mark.long
def test_what_waits_in_line_for_a_dead_node_is_not_waited_for_longer_than_what_was_asked_for_first(
    api, node, new_worker, monkeypatch
):
    monkeypatch.setattr("katib.worker.kubernetes.outputs._FINISHERS_OF_A_NODE", 1)
    worker = new_worker()
    worker._outputs._patience_s = 1.5
    driver = Driver(worker, SPEC, DEADLINE_S)
    asked = vanish(api, "dead", 0.3)
    names = [start_on(api, node, driver, "dead") for _ in range(16)]
    for name in names:
        driver.ended(name)
        assert worker.output(driver.study_id, name, "", 1000).truncated
    # Those at first more than once, and each of the others once.
    assert len(asked) < 2 * len(names) - 4
