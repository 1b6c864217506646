"""What cannot be done about one Pod holds up no other run, and is tried again."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from katib.domain.pod import PodSettings
from katib.worker.base import RunPhase
from tests.worker.driving import Driver
from tests.worker.kubernetes.driving import DEADLINE_S, SPEC, refuse, until
from tests.worker.kubernetes.messages import refusal

HOOK = 'failed calling webhook "guard.example": context deadline exceeded'


def refuse_deletions(api, after_s: float) -> list[str]:
    """As a webhook does that does not answer. Returns whose."""
    refused: list[str] = []

    def fault(request):
        if request.verb != "delete":
            return None
        refused.append(request.name)
        time.sleep(after_s)
        return refusal(500, HOOK, "InternalError")

    api.faults.append(fault)
    return refused


def let_go(driver, count: int) -> list[str]:
    """Runs that have ended, whose Pods may go."""
    names = [driver.start("true") for _ in range(count)]
    for name in names:
        driver.ended(name)
        driver.worker.delete(driver.study_id, name)
    return names


@pytest.mark.long
def test_deletions_that_are_refused_slowly_hold_up_no_line_of_a_run(api, driver) -> None:
    refused = refuse_deletions(api, 3.0)
    name = driver.start("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo x=$i; sleep 0.5; done; sleep 600")
    driver.printed(name, "x=1")
    let_go(driver, 3)
    until("nothing is deleted", lambda: refused)
    waited, cursor = [], driver.worker.output(driver.study_id, name, "", 1000).cursor
    for _ in range(3):
        driver.woken.clear()
        begin = time.monotonic()
        assert driver.woken.wait(10.0)
        waited.append(time.monotonic() - begin)
        cursor = driver.worker.output(driver.study_id, name, cursor, 1000).cursor
    assert max(waited) < 2.0


@pytest.mark.long
def test_a_run_that_waited_long_enough_is_ended_before_pods_go_that_cannot_be_deleted(api, node, driver) -> None:
    refused = refuse_deletions(api, 3.0)
    let_go(driver, 5)
    until("nothing is deleted", lambda: refused)
    node.full = True
    run = driver.run("true", study=replace(SPEC, pod=PodSettings(start_timeout=timedelta(seconds=1))))
    begin = time.monotonic()
    driver.worker.create(run)
    status = driver.ended(run.name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "NotScheduled")
    assert time.monotonic() - begin < 10.0


@pytest.mark.long
def test_a_run_that_waited_long_enough_and_cannot_be_ended_says_why(api, node, driver, monkeypatch) -> None:
    monkeypatch.setattr("katib.worker.kubernetes.rounds._RETRY_S", 0.5)
    node.full = True
    for verb in ("patch", "delete"):
        refuse(api, refusal(403, 'admission webhook "guard.example" denied the request: hands off', "Forbidden"), verb)
    run = driver.run("true", study=replace(SPEC, pod=PodSettings(start_timeout=timedelta(seconds=1))))
    driver.worker.create(run)

    def told() -> bool:
        # By a wake alone.
        return (
            driver.woken.wait(DEADLINE_S)
            and not driver.woken.clear()
            and "hands off" in driver.status(run.name).message
        )

    until("nobody is told", told)
    status = driver.status(run.name)
    assert (status.phase, status.reason) == (RunPhase.WAITING, "NotScheduled")
    assert "longer than pod.start_timeout (1s); it cannot be ended, which is tried again: " in status.message
    api.faults.clear()
    assert driver.ended(run.name).message.endswith("longer than pod.start_timeout (1s)")


@pytest.mark.long
def test_a_run_that_could_not_be_ended_and_begins_after_all_says_no_more_that_it_cannot(
    api, node, driver, monkeypatch
) -> None:
    monkeypatch.setattr("katib.worker.kubernetes.rounds._RETRY_S", 0.5)
    node.full = True
    for verb in ("patch", "delete"):
        refuse(api, refusal(403, 'admission webhook "guard.example" denied the request: hands off', "Forbidden"), verb)
    run = driver.run("sleep", "600", study=replace(SPEC, pod=PodSettings(start_timeout=timedelta(seconds=1))))
    driver.worker.create(run)
    until("it could be ended", lambda: "hands off" in driver.status(run.name).message)
    node.full = False
    node.take(api.get(run.name))
    driver.until("it never ran", lambda: driver.status(run.name).phase is RunPhase.RUNNING)
    until("it is still to end", lambda: not driver.status(run.name).message)


@pytest.mark.long
def test_pods_that_cannot_be_deleted_are_tried_again_ever_more_rarely_and_told_of_once_a_minute(
    api, driver, caplog, monkeypatch
) -> None:
    monkeypatch.setattr("katib.worker.kubernetes.rounds._RETRY_S", 0.5)
    refused = refuse_deletions(api, 0.0)
    names = let_go(driver, 5)
    until("they are not tried again", lambda: len(refused) >= 10)
    time.sleep(4.0)
    # After 0.5, 1, 2 s and so on.
    assert len(refused) <= 25
    assert len([record for record in caplog.records if "could not be tended" in record.getMessage()]) == 1
    api.faults.clear()
    until("they stay", lambda: all(api.get(name) is None for name in names))


@pytest.mark.long
def test_the_name_of_a_run_is_held_though_the_api_server_failed_at_first(api, node, new_worker, monkeypatch) -> None:
    monkeypatch.setattr("katib.worker.kubernetes.rounds._RETRY_S", 0.5)
    driver = Driver(new_worker(fence_s=60.0), SPEC, DEADLINE_S)
    name = driver.start("sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    refuse(api, refusal(500, "etcdserver: request timed out", "InternalError"), times=2)
    api.remove("default", name)
    assert driver.ended(name).reason == "PodDeleted"
    driver.worker.delete(driver.study_id, name)
    until("its name is not held", lambda: api.get(name) is not None)


@pytest.mark.long
def test_an_api_server_that_asks_for_patience_once_does_not_make_each_pod_stay_longer(api, driver) -> None:
    refuse(api, refusal(429, "too many requests", "TooManyRequests", Retry_After="1"), "delete", times=1)
    names = let_go(driver, 6)
    until("nothing is deleted", lambda: ("delete", "pods") in api.counts())
    time.sleep(3.5)
    # But for the one that was refused.
    assert sum(api.get(name) is not None for name in names) <= 1
    until("it stays", lambda: all(api.get(name) is None for name in names))
