"""A real manager with the Kubernetes worker, at an API server of our own: whole studies, and what they cost."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from katib.api.client import ManagerClient
from katib.domain.study import Limits, StudyReason, StudyState
from katib.domain.trial import TrialState
from katib.worker.kubernetes.pods import LABEL_STUDY
from tests.e2e.harness import World, finished, study, trials, until, world
from tests.worker.kubernetes.apiserver import ApiServer, kubeconfig
from tests.worker.kubernetes.messages import refusal
from tests.worker.kubernetes.node import Node

STUDY_S = 60.0
pytestmark = pytest.mark.slow


@pytest.fixture
def katib(tmp_path: Path, api: ApiServer, node: Node) -> Iterator[World]:
    with world(tmp_path) as it:
        it.suggestion("random")
        yield it


def start(katib: World, api: ApiServer, *further: str, **options: Any):
    """`further`: options of the worker; without any it keeps no finished Pods."""
    file = katib.folder / "kubeconfig"
    file.write_text(kubeconfig(api.url))
    given = (f"kubeconfig={file}", *(further or ("keep=none",)))
    words = [word for option in given for word in ("--worker-option", option)]
    return katib.manager("--worker", "kubernetes", "--lease", "1", *words, **options)


def test_a_study_costs_three_requests_a_trial(katib: World, api: ApiServer) -> None:
    start(katib, api)
    with katib.client() as client:
        script = "echo acc=0.1; sleep 0.2; echo acc=$x"
        study_id = client.create_study(
            study(image="image", script=script, limits={"max_trials": 12, "max_parallel": 4})
        )
        assert finished(client, study_id, STUDY_S).completed == 12
        found = trials(client, study_id)
    assert [trial.objective for trial in found] == pytest.approx([float(t.parameters[0].value) for t in found])
    until(lambda: not api.pods, STUDY_S)
    counts = api.counts()
    assert counts["create", "pods"] == 12
    assert counts["delete", "pods"] == 12
    # On a machine under load an end may be told late, and then the log is asked for once more.
    assert 12 <= counts["get", "pods/log"] <= 15
    assert set(counts) <= {(verb, "pods") for verb in ("create", "delete", "list", "watch")} | {("get", "pods/log")}
    assert counts["list", "pods"] == 1


def test_a_manager_that_is_killed_again_and_again_starts_no_attempt_twice(katib: World, api: ApiServer) -> None:
    manager = start(katib, api)
    begun = katib.folder / "begun"
    with katib.client() as client:
        script = f"echo $TRIAL_ID-$KATIB_ATTEMPT >> {begun}; echo acc=0.1; sleep 0.5; echo acc=$x"
        limits = {"max_trials": 12, "max_parallel": 3}
        study_id = client.create_study(study(image="image", script=script, limits=limits))
    for completed in (1, 4, 7):
        with katib.client() as client:
            until(lambda n=completed, c=client: c.get_study(study_id).summary.completed >= n, STUDY_S)  # type: ignore[misc]
        manager.kill()
        manager = start(katib, api)
    with katib.client() as client:
        assert finished(client, study_id, STUDY_S).completed == 12
        found = trials(client, study_id)
    assert [trial.objective for trial in found] == pytest.approx([float(t.parameters[0].value) for t in found])
    assert sorted(begun.read_text().split()) == sorted(f"{trial.id}-1" for trial in found)
    until(lambda: not api.pods, STUDY_S)


def test_trials_end_in_the_namespace_where_they_were_begun_when_the_option_is_another(
    katib: World, api: ApiServer
) -> None:
    manager = start(katib, api, "keep=none", "namespace=old")
    go_on, begun = katib.folder / "go-on", katib.folder / "begun"
    with katib.client() as client:
        script = f"echo $TRIAL_ID >> {begun}; while ! test -e {go_on}; do sleep 0.1; done; echo acc=$x"
        limits = {"max_trials": 4, "max_parallel": 2}
        study_id = client.create_study(study(image="image", script=script, limits=limits))
    until(lambda: begun.exists() and len(begun.read_text().split()) == 2, STUDY_S)
    manager.kill()
    start(katib, api, "keep=none", "namespace=new")
    where = dict[str, str]()

    def seen() -> bool:
        for pod in list(api.pods.values()):
            where[pod["metadata"]["name"]] = pod["metadata"]["namespace"]
        return len(where) == 4

    go_on.touch()
    until(seen, STUDY_S)
    with katib.client() as client:
        assert finished(client, study_id, STUDY_S).completed == 4
        found = trials(client, study_id)
    assert [where[f"{trial.id}-1"] for trial in found] == ["old", "old", "new", "new"]
    assert sorted(begun.read_text().split()) == sorted(trial.id for trial in found)
    until(lambda: not api.pods, STUDY_S)


def test_the_pods_of_a_study_that_had_ended_go_where_the_namespace_that_was_left_is_still_one_of_the_options(
    katib: World, api: ApiServer
) -> None:
    manager = start(katib, api, "keep=none", "namespace=old")
    with katib.client() as client:
        study_id = client.create_study(study(image="image", script="echo acc=1", limits={"max_trials": 2}))
        assert finished(client, study_id, STUDY_S).completed == 2
    manager.kill()
    assert len(api.pods) == 2
    start(katib, api, "keep=none", "namespace=new", "namespaces=old")
    until(lambda: not api.pods, STUDY_S)


def test_a_study_that_ended_goes_on_though_the_namespace_of_its_earlier_trials_is_gone(
    katib: World, api: ApiServer
) -> None:
    manager = start(katib, api, "keep=none", "namespace=old")
    with katib.client() as client:
        study_id = client.create_study(study(image="image", script="echo acc=1", limits={"max_trials": 1}))
        assert finished(client, study_id, STUDY_S).completed == 1
    until(lambda: not api.pods, STUDY_S)
    manager.kill()
    gone = refusal(
        403, 'pods is forbidden: User "manager" cannot list resource "pods" in the namespace "old"', "Forbidden"
    )
    api.faults.append(lambda request: gone if request.namespace == "old" else None)
    start(katib, api, "keep=none", "namespace=new")
    with katib.client() as client:
        client.update_study(study_id, Limits(max_trials=2))
        until(lambda: client.get_study(study_id).summary.completed == 2, STUDY_S)


def test_the_pods_of_a_study_that_has_ended_go_though_its_manager_is_replaced(katib: World, api: ApiServer) -> None:
    """Before they may go, whose names are held for ten leases."""
    manager = start(katib, api)
    with katib.client() as client:
        study_id = client.create_study(study(image="image", script="echo acc=1", limits={"max_trials": 3}))
        assert finished(client, study_id, STUDY_S).completed == 3
    manager.kill()
    assert len(api.pods) == 3
    start(katib, api)
    until(lambda: not api.pods, STUDY_S)


def test_the_pods_of_a_study_that_was_deleted_go_though_its_manager_is_replaced_and_those_of_another_database_stay(
    katib: World, api: ApiServer
) -> None:
    manager = start(katib, api, "keep=all")
    with katib.client() as client:
        kept, deleted = (
            client.create_study(study(name=name, image="image", script="echo acc=1", limits={"max_trials": 2}))
            for name in ("kept", "deleted")
        )
        for study_id in (kept, deleted):
            assert finished(client, study_id, STUDY_S).completed == 2
        client.delete_study(deleted)
        until(lambda: deleted not in [found.id for found in client.list_studies().items], STUDY_S)
    manager.kill()
    assert len(api.pods) == 4
    # One that knows neither of them.
    start(
        katib,
        api,
        address=f"unix:{katib.sockets}/m2",
        data=katib.folder / "other",
        database=f"sqlite:///{katib.folder}/other.db",
    )
    start(katib, api, "keep=all")
    until(lambda: len(api.pods) == 2, STUDY_S)
    time.sleep(2.0)
    assert {pod["metadata"]["labels"][LABEL_STUDY] for pod in api.pods.values()} == {kept}


def test_another_installation_on_a_copy_of_the_database_leaves_the_trials_alone(katib: World, api: ApiServer) -> None:
    start(katib, api)
    go_on, begun = katib.folder / "go-on", katib.folder / "begun"
    with katib.client() as client:
        script = f"echo $TRIAL_ID >> {begun}; while ! test -e {go_on}; do sleep 0.1; done; echo acc=$x"
        study_id = client.create_study(study(image="image", script=script, limits={"max_trials": 2, "max_parallel": 2}))
    until(lambda: begun.exists() and len(begun.read_text().split()) == 2, STUDY_S)
    copy = katib.folder / "copy.db"
    with sqlite3.connect(katib.folder / "data" / "katib.db") as there, sqlite3.connect(copy) as put:
        there.backup(put)
    copy.chmod(0o600)
    before = {name: pod["metadata"]["labels"] for name, pod in api.pods.items()}
    address = f"unix:{katib.sockets}/m2"
    start(
        katib,
        api,
        "installation=lab",
        address=address,
        data=katib.folder / "other",
        database=f"sqlite:///{copy}",
    )
    with ManagerClient(address, 30) as other:
        until(lambda: other.get_study(study_id).summary.reason == StudyReason.NO_MANAGER, STUDY_S)
    time.sleep(2.0)
    assert {name: pod["metadata"]["labels"] for name, pod in api.pods.items()} == before
    go_on.touch()
    with katib.client() as client:
        assert finished(client, study_id, STUDY_S).completed == 2
    assert len(begun.read_text().split()) == 2


def test_the_pods_of_a_study_that_has_ended_go_though_its_manager_does_not_come_back(
    katib: World, api: ApiServer
) -> None:
    """Another one, which was there all the time, takes them away."""
    manager = start(katib, api)
    with katib.client() as client:
        spec = study(image="image", script="sleep 4; echo acc=1", limits={"max_trials": 2, "max_parallel": 2})
        study_id = client.create_study(spec)
        start(
            katib,
            api,
            address=f"unix:{katib.sockets}/m2",
            data=katib.folder / "other",
            database=f"sqlite:///{katib.folder}/data/katib.db",
        )
        assert finished(client, study_id, STUDY_S).completed == 2
    manager.kill()
    assert len(api.pods) == 2
    until(lambda: not api.pods, STUDY_S)


def test_what_waits_when_a_study_ends_never_starts(katib: World, api: ApiServer) -> None:
    start(katib, api)
    with katib.client() as client:
        limits = {"max_trials": 30, "max_parallel": 1}
        study_id = client.create_study(study(image="image", script="echo acc=1", goal=0.9, limits=limits))
        summary = finished(client, study_id, STUDY_S)
        found = trials(client, study_id)
    assert (summary.state, summary.reason) == (StudyState.COMPLETED, StudyReason.GOAL)
    waited = [trial for trial in found if trial.state is TrialState.KILLED]
    assert waited
    assert all(trial.started_at is None for trial in waited)
    until(lambda: not api.pods, STUDY_S)
