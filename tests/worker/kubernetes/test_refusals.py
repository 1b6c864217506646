"""What the Kubernetes worker does when the API server refuses, is slow, or is away, and what it asks it for."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from katib.domain.errors import InvalidArgumentError, UnavailableError
from katib.worker.base import RunPhase
from katib.worker.kubernetes.podapi import VERBS
from tests.worker.kubernetes.apiserver import kubeconfig
from tests.worker.kubernetes.driving import DEADLINE_S, created, refuse, successor, until
from tests.worker.kubernetes.messages import refusal

WHO = 'User "system:serviceaccount:katib:manager"'


@pytest.mark.long
def test_a_trial_costs_three_requests_and_every_verb_is_one_that_is_granted(api, driver):
    name = driver.start("sh", "-c", "echo x=1; sleep 0.3; echo x=2")
    driver.ended(name)
    assert driver.texts(name) == ["x=1", "x=2"]
    driver.worker.delete(driver.study_id, name)
    until("its Pod stays", lambda: api.get(name) is None)
    counts = {key: n for key, n in api.counts().items() if key[0] not in ("list", "watch")}
    assert counts == {("create", "pods"): 1, ("get", "pods/log"): 1, ("delete", "pods"): 1}
    for verb, resource in api.counts():
        assert verb in VERBS[resource]


def test_connections_are_used_again(api, driver):
    for _ in range(10):
        name = driver.start("true")
        driver.ended(name)
        driver.worker.delete(driver.study_id, name)
    assert api.connections < 8


@pytest.mark.long
def test_nothing_is_asked_for_while_runs_are_silent(api, driver):
    names = [driver.start("sleep", "600") for _ in range(3)]
    for name in names:
        driver.until("it never ran", lambda name=name: driver.status(name).phase is RunPhase.RUNNING)
    for name in names:
        driver.worker.output(driver.study_id, name, "", 1000)
    before = len(api.requests)
    for _ in range(5):
        driver.statuses()
        time.sleep(0.2)
    assert len(api.requests) - before <= 3  # the logs are followed


def test_a_pod_that_is_invalid_is_a_failed_run_with_the_api_servers_words_and_stays_so(api, driver, new_worker):
    refuse(api, refusal(422, 'Pod "x" is invalid: spec.containers[0].image: Invalid value', "Invalid"), times=1)
    name = driver.start("true")
    status = driver.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "InvalidPod")
    assert "spec.containers[0].image" in status.message
    assert driver.texts(name) == []
    other = successor(driver, new_worker).status(name)
    assert (other.phase, other.reason, other.message) == (status.phase, status.reason, status.message)


def test_a_pod_that_admission_refuses_is_a_failed_run(api, driver):
    said = 'admission webhook "policy.example" denied the request: no team label'
    refuse(api, refusal(403, said, "Forbidden"), times=1)
    status = driver.status(driver.start("true"))
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodRefused")
    assert "no team label" in status.message


def test_a_namespace_that_admits_not_even_a_tombstone_still_shows_the_failed_run(api, driver):
    refuse(api, refusal(403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest"', "Forbidden"))
    name = driver.start("true")
    status = driver.status(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "PodRefused")
    driver.worker.delete(driver.study_id, name)
    assert driver.statuses() == {}


POLICY = refusal(
    403, 'pods "x" is forbidden: ValidatingAdmissionPolicy denied request: may not be changed', "Forbidden"
)
INVALID = refusal(422, 'Pod "x" is invalid: metadata.labels: Required value: team', "Invalid")


@pytest.mark.long
@pytest.mark.parametrize("answer", [POLICY, INVALID])
def test_a_run_whose_pod_may_not_be_changed_is_stopped_by_its_deletion(api, driver, answer):
    name = driver.start("sh", "-c", "echo here; sleep 600")
    driver.printed(name, "here")
    refuse(api, answer, verb="patch")
    driver.worker.stop(driver.study_id, name)
    driver.until("it was not stopped", lambda: driver.status(name).phase is not RunPhase.RUNNING)
    assert driver.status(name).reason == "Stopped"
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "Stopped")
    assert driver.texts(name) == ["here"]


@pytest.mark.long
def test_a_run_whose_pod_has_no_node_and_may_not_be_changed_is_stopped_by_its_deletion(api, node, driver):
    node.full = True
    name = driver.start("true")
    uid = api.get(name)["metadata"]["uid"]
    refuse(api, POLICY, verb="patch")
    driver.worker.stop(driver.study_id, name)
    status = driver.ended(name)
    assert (status.phase, status.reason) == (RunPhase.FAILED, "Stopped")
    driver.worker.delete(driver.study_id, name)
    until("its name is not held", lambda: (api.get(name) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid)


def test_a_run_whose_pod_the_manager_may_not_patch_is_left_as_it_is_and_the_sentence_names_what_to_grant(api, driver):
    name = driver.start("sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    said = f'pods "x" is forbidden: {WHO} cannot patch resource "pods" in API group "" in the namespace "default"'
    refuse(api, refusal(403, said, "Forbidden"), verb="patch")
    with pytest.raises(UnavailableError, match="grant the verb patch on pods"):
        driver.worker.stop(driver.study_id, name)
    assert driver.status(name).phase is RunPhase.RUNNING
    assert ("delete", "pods") not in api.counts()


def test_a_denial_is_a_wait_that_names_what_to_grant(api, driver):
    said = f'pods is forbidden: {WHO} cannot create resource "pods" in API group "" in the namespace "default"'
    refuse(api, refusal(403, said, "Forbidden"))
    run = driver.run("true")
    with pytest.raises(
        UnavailableError, match="may not create pods in namespace default: grant the verb create on pods"
    ):
        driver.worker.create(run)
    api.faults.clear()
    driver.worker.create(run)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(403, 'pods "x" is forbidden: exceeded quota: compute, requested: pods=1', "Forbidden"), "quota"),
        (refusal(401, "Unauthorized", "Unauthorized"), "does not know the manager"),
        (refusal(404, 'namespaces "default" not found', "NotFound"), "there is no namespace default"),
        (
            refusal(403, "unable to create new content in namespace x because it is being terminated", "Forbidden"),
            "namespace default is being deleted: create it anew once it is gone, or name another",
        ),
        (refusal(500, "etcdserver: request timed out", "InternalError"), "out of order"),
        (refusal(409, "Operation cannot be fulfilled: try again", "Conflict"), "try again"),
    ],
)
def test_what_may_pass_is_a_wait_with_its_reason(api, driver, answer, words):
    # A creation that met another one is tried again at once, but not for ever.
    refuse(api, answer, times=5 if answer.status == 409 else 1)
    run = driver.run("true")
    with pytest.raises(UnavailableError, match=words):
        driver.worker.create(run)
    driver.worker.create(run)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED


def test_all_trials_that_a_quota_keeps_from_running_say_one_thing(api, driver):
    words = "exceeded quota: few, requested: pods=1, used: pods=4, limited: pods=4"
    said = set()
    for _ in range(3):
        run = driver.run("true")
        refuse(api, refusal(403, f'pods "{run.name}" is forbidden: {words}', "Forbidden"), times=1)
        with pytest.raises(UnavailableError) as refused:
            driver.worker.create(run)
        said.add(refused.value.message)
    (message,) = said
    assert message == (
        "the quota of namespace default is used up, it is tried again: exceeded quota: few, requested: pods=1, "
        "used: pods=4, limited: pods=4"
    )


@pytest.mark.long
def test_an_api_server_that_asks_for_patience_is_left_alone_for_that_time(api, driver):
    refuse(api, refusal(429, "too many requests", "TooManyRequests", Retry_After="3"), times=1)
    run = driver.run("true")
    said = set()
    for pause in (0.0, 0.0, 0.7, 0.7, 0.7):
        time.sleep(pause)
        with pytest.raises(UnavailableError, match="patience") as refused:
            driver.worker.create(run)
        said.add(refused.value.message)
    # The refusal itself has the API server's words; after it each study says one thing, not another each second.
    assert len(said) == 2
    assert api.counts()["create", "pods"] == 1

    until("it was never asked again", lambda: created(driver, run))

    def ended() -> bool:
        try:
            return driver.status(run.name).phase.ended
        except UnavailableError:
            # Its watch was to begin anew in the time for which patience was asked, and it is not asked again yet.
            return False

    until("it never ended", ended)
    assert driver.status(run.name).phase is RunPhase.SUCCEEDED


@pytest.mark.long
def test_an_api_server_that_is_away_is_a_wait_and_the_runs_go_on(api, node, driver):
    name = driver.start("sh", "-c", "echo one; sleep 1; echo two")
    driver.printed(name, "one")
    api.stop()

    def away() -> bool:
        try:
            driver.statuses()
        except UnavailableError as error:
            return "connection refused" in error.message
        return False

    until("it still answers", away)
    with pytest.raises(UnavailableError):
        driver.worker.create(driver.run("true"))
    api.restart()

    def back() -> bool:
        try:
            return driver.status(name).phase.ended
        except UnavailableError:
            return False

    until("it never came back", back)
    assert driver.texts(name) == ["one", "two"]


@pytest.mark.long
def test_a_study_is_woken_when_nothing_has_been_heard_of_its_runs_for_too_long(api, driver):
    name = driver.start("sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    time.sleep(1.0)
    driver.woken.clear()
    api.stop()
    assert driver.woken.wait(DEADLINE_S)
    with pytest.raises(UnavailableError, match="nothing has been heard"):
        driver.statuses()
    api.restart()


@pytest.mark.long
def test_what_is_said_while_the_api_server_is_away_is_one_thing(api, driver):
    """A study that says another thing each second is written each second."""
    name = driver.start("sleep", "600")
    driver.until("it never ran", lambda: driver.status(name).phase is RunPhase.RUNNING)
    api.stop()

    def said() -> str:
        try:
            driver.statuses()
        except UnavailableError as error:
            return error.message
        return ""

    until("it is not told", lambda: "connection refused" in said())
    first = said()
    time.sleep(1.5)
    assert said() == first
    assert re.match(
        r"nothing has been heard of the Pods of namespace default since 2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d UTC: ", first
    )
    api.restart()


def test_an_api_server_that_does_not_answer_costs_the_time_limit_and_no_more(api, driver, monkeypatch):
    monkeypatch.setattr(driver.worker._api, "_answer_s", 0.2)
    monkeypatch.setattr("katib.worker.kubernetes.api._LONGER_S", 0.2)
    api.faults.append(lambda r: time.sleep(2) if r.verb == "create" else None)
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match="no answer in time"):
        driver.worker.create(driver.run("true"))
    assert time.monotonic() - begin < 1.5


def test_a_token_that_was_replaced_in_its_file_is_read_again(api, access, tmp_path, driver, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.access._RENEW_S", 0.0)
    api.token = "another"
    run = driver.run("true")
    with pytest.raises(UnavailableError, match="does not know the manager"):
        driver.worker.create(run)
    file = tmp_path / "kubeconfig"
    file.write_text(file.read_text().replace("secret", "another"))

    until("it was never read again", lambda: created(driver, run))
    until("its Pods are not in sight", lambda: not driver.worker._sight.reflectors[0].stale)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED


def test_an_api_server_that_has_another_address_is_found_where_the_kubeconfig_says(api, tmp_path, driver, monkeypatch):
    name = driver.start("sh", "-c", "echo one; sleep 600")
    driver.printed(name, "one")
    api.stop()
    before = api.url
    api.restart(port=0)
    assert api.url != before
    (tmp_path / "kubeconfig").write_text(kubeconfig(api.url))
    monkeypatch.setattr("katib.worker.kubernetes.access._RENEW_S", 0.0)
    run = driver.run("true")
    until("it was never asked there", lambda: created(driver, run))
    until("its Pods are not in sight", lambda: not driver.worker._sight.reflectors[0].stale)
    assert driver.ended(run.name).phase is RunPhase.SUCCEEDED
    assert driver.status(name).phase is RunPhase.RUNNING


def test_an_api_server_that_is_away_and_where_it_was_keeps_its_connections(api, access, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.access._RENEW_S", 0.0)
    way = access()
    pool = way.pool
    way.look_again()
    assert way.pool is pool


def test_who_is_asked_where_the_api_server_is_and_does_not_answer_holds_up_no_request(access, monkeypatch):
    """As a program of the kubeconfig that gets a token from a network that is away."""
    monkeypatch.setattr("katib.worker.kubernetes.access._RENEW_S", 0.0)
    way = access()
    asked, over = threading.Event(), threading.Event()

    def configure(*_):
        asked.set()
        over.wait(DEADLINE_S)
        raise InvalidArgumentError.of("kubeconfig", "file", "expected one")

    monkeypatch.setattr("katib.worker.kubernetes.access._configure", configure)
    with ThreadPoolExecutor(2) as pool:
        looking = pool.submit(way.look_again)
        assert asked.wait(DEADLINE_S)
        try:
            assert pool.submit(way.headers).result(DEADLINE_S / 2)
            # Who meets the same does not ask too.
            pool.submit(way.look_again).result(DEADLINE_S / 2)
            assert not looking.done()
        finally:
            over.set()


def test_a_creation_that_met_another_one_is_tried_again_at_once(api, driver):
    met = []

    def conflict(request):
        if request.method != "POST" or len(met) == 2:
            return None
        met.append(request)
        return refusal(409, 'Operation cannot be fulfilled on resourcequotas "q"', "Conflict")

    api.faults.append(conflict)
    name = driver.start("sh", "-c", "echo done")
    assert len(met) == 2
    assert driver.texts(name) == ["done"]
