"""What `deploy/` installs works: on a real cluster, with the images that the Dockerfiles make."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from katib.domain.errors import FailedPreconditionError
from katib.domain.study import Limits, StudyReason, StudyState
from katib.domain.trial import TrialState
from katib.worker.kubernetes.podapi import VERBS
from tests.cluster.api import Api, Object
from tests.cluster.cluster import Cluster
from tests.cluster.inspection import look
from tests.cluster.installation import (
    SUGGESTION,
    Installation,
    build,
    installed,
    mariadb_image,
    moved,
    studies_end,
    with_mariadb,
)
from tests.cluster.people import Caller, follow
from tests.cluster.processes import ClusterError, wait_until
from tests.deploy.manifests import DEPLOY, OVERLAYS, ROOT, Manifests, rendered, template
from tests.deploy.pages import commands
from tests.e2e.harness import study, trials, until

pytestmark = pytest.mark.timeout(1200)

EXAMPLES = ROOT / "examples" / "custom-suggestion"
STEPS = "for i in 1 2 3 4; do echo step=$i acc=0.$i; sleep 0.5; done; echo acc=$x"
# From a service's answer to a study's first step: the manager asks again after at most a few seconds.
AT_ONCE_S = 20.0
STUDY_S = 300.0


@pytest.fixture(scope="module")
def katib(
    cluster: Api, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    if not isinstance(cluster, Cluster):
        pytest.skip("reaches Services at their own addresses, which is the test cluster's alone")
    folder = tmp_path_factory.mktemp("installation")
    with installed(cluster, folder, with_mariadb(folder), mariadb_image()) as it:
        failed = request.session.testsfailed
        yield it
        if request.session.testsfailed > failed:
            print(it.described())


# What the API server says


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_api_server_accepts_every_object_of_an_overlay(name: str, cluster: Api) -> None:
    """Strictly: a field that it does not know, or that stands there twice, is an error. And the security level of the
    namespace, which admits Pods alone, takes a Pod of every workload."""
    with cluster.namespace() as namespace, cluster.namespace() as other:
        text = moved(rendered(DEPLOY / "overlays" / name), namespace, other)
        check = ("--dry-run=server", "--validate=strict", "-f", "-")
        said = cluster.kubectl("apply", *check, data=text)
        found = Manifests(text).objects[0]["items"]
        assert len(said.splitlines()) == len(found)
        manifests = Manifests(json.dumps({}))
        manifests.objects = found
        cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        for account in manifests.names("ServiceAccount"):
            cluster.kubectl("create", "serviceaccount", account, "-n", namespace)
        for workload in manifests.workloads:
            pod = {"apiVersion": "v1", "kind": "Pod", **template(workload)}
            pod["metadata"] |= {"name": "pod", "namespace": namespace}
            # The claim's volume is the StatefulSet's to add.
            data = {"name": "data", "emptyDir": {}}
            pod["spec"]["volumes"] = [*pod["spec"]["volumes"], data]
            cluster.kubectl("create", *check, data=json.dumps(pod))


def test_a_field_that_does_not_exist_is_not_accepted(cluster: Api, namespace: str) -> None:
    """The check above can fail."""
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": namespace}}
    data = json.dumps({**wrong, "spec": {"ports": [{"port": 1, "targetPorts": 1}]}})
    with pytest.raises(ClusterError, match="targetPorts"):
        cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", data=data)


# A whole installation


def test_everything_runs_as_it_was_given(katib: Installation) -> None:
    components = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in katib.pods()}
    assert components == {"manager", "suggestion", "earlystopping", "database"}
    assert all(restarts == 0 for _, restarts in katib.lives().values())
    labels = katib.cluster.get("namespace", katib.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    secret = katib.cluster.get("secret", "katib-database", katib.namespace)["data"]
    assert secret.keys() == {"password", "root-password", "url"}


def test_what_a_second_apply_brings_is_nothing_new(katib: Installation) -> None:
    """The passwords stay, whatever starts the database anew."""
    before = katib.cluster.get("secret", "katib-database", katib.namespace)["data"]
    katib.kubectl("rollout", "restart", "statefulset/katib-database")
    katib.wait_until_ready("statefulset/katib-database")
    log = katib.kubectl("logs", "katib-database-0", "-c", "secret")
    assert "there already" in log
    assert katib.cluster.get("secret", "katib-database", katib.namespace)["data"] == before
    katib.wait_until_working()


def test_a_study_by_the_command_line_from_its_creation_to_its_best_trial(katib: Installation) -> None:
    study_file = f"""
        name: whole
        objective: {{name: acc, type: maximize}}
        algorithm: random
        max_trials: 4
        max_parallel: 2
        parameters:
          - {{name: x, type: double, min: 0, max: 1}}
        image: {katib.cluster.busybox}
        scheduler: default-scheduler
        command: [sh, -c, 'echo acc=0.25; sleep 1; echo "acc=${{1#x=}}"', sh]
    """
    created = katib.cli("create-study", "-f", "-", data=study_file)
    study_id = re.findall(r"Study (\w+) is created", created)[0]
    pod = until(lambda: next(iter(katib.trial_pods()), None), STUDY_S)
    assert pod["metadata"]["namespace"] == katib.trials
    assert pod["metadata"]["labels"]["katib.kubeflow.org/study"] == study_id
    assert pod["spec"]["schedulerName"] == "default-scheduler"
    assert pod["spec"]["containers"][0]["image"] == katib.cluster.busybox
    studies_end(katib, study_id)
    listed = json.loads(katib.cli("list", "trials", "whole", "-o", "json"))
    assert len(listed) == 4, listed
    best = katib.cli("best", "whole", "-o", "json")
    with katib.client() as client:
        objectives = [trial.objective for trial in trials(client, study_id)]
    assert all(objective is not None for objective in objectives)
    assert repr(max(o for o in objectives if o is not None)) in best
    endless = study_file.replace("name: whole", "name: endless").replace("sleep 1", "sleep 600")
    katib.cli("create-study", "-f", "-", data=endless)
    with katib.client() as client:
        (summary,) = [s for s in client.list_studies().items if s.name == "endless"]
        until(lambda: client.get_study(summary.id).summary.running == 2, STUDY_S)
    katib.cli("stop-study", "endless")
    studies_end(katib, summary.id)
    with katib.client() as client:
        assert {t.state for t in trials(client, summary.id)} == {TrialState.KILLED}


def run_to_its_end(katib: Installation, study_id: str, count: int) -> None:
    """And nothing of it was lost or run twice."""
    studies_end(katib, study_id)
    with katib.client() as client:
        assert client.get_study(study_id).summary.state is StudyState.COMPLETED
        found = trials(client, study_id)
        assert [trial.state for trial in found] == [TrialState.COMPLETED] * count
        assert {trial.attempt for trial in found} == {1}
        for trial in found:
            seen = [o.value for o in client.get_trial(trial.id).observations]
            assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4, float(trial.parameters[0].value)])


def test_a_database_that_is_taken_away_in_the_middle_is_waited_for(katib: Installation) -> None:
    managers = {pod["metadata"]["uid"] for pod in katib.pods("manager")}
    with katib.client() as client:
        limits = {"max_trials": 10, "max_parallel": 3}
        study_id = client.create_study(study(name="db", image=katib.cluster.busybox, script=STEPS, limits=limits))
        until(lambda: client.get_study(study_id).summary.completed >= 2, STUDY_S)
    katib.kubectl("delete", "pod", "katib-database-0", timeout=200)
    katib.wait_until_ready("statefulset/katib-database")
    run_to_its_end(katib, study_id, 10)
    katib.wait_until_working()
    assert {pod["metadata"]["uid"] for pod in katib.pods("manager")} == managers
    assert all(restarts == 0 for _, restarts in katib.lives().values())


def test_managers_come_and_go_and_no_call_fails(katib: Installation) -> None:
    with katib.client() as client:
        limits = {"max_trials": 30, "max_parallel": 3}
        study_id = client.create_study(study(name="rolls", image=katib.cluster.busybox, script=STEPS, limits=limits))
        until(lambda: client.get_study(study_id).summary.completed >= 1, STUDY_S)
    before = {pod["metadata"]["uid"] for pod in katib.pods("manager")}
    caller = Caller(katib, study_id)
    with caller.calling():
        katib.kubectl("rollout", "restart", "deployment/katib-manager")
        katib.wait_until_ready("deployment/katib-manager")
        after = {pod["metadata"]["uid"] for pod in katib.pods("manager") if "deletionTimestamp" not in pod["metadata"]}
        assert not after & before
        for replicas in (3, 1, 2):
            katib.kubectl("scale", "deployment/katib-manager", f"--replicas={replicas}")
            katib.wait_until_ready("deployment/katib-manager")
            until(lambda n=replicas: len(katib.pods("manager")) == n, STUDY_S, poll=0.5)  # type: ignore[misc]
        studies_end(katib, study_id)
    print(f"{caller.calls} calls, the slowest took {caller.slowest:.2f} s")
    assert caller.failures == []
    assert caller.calls > 100
    run_to_its_end(katib, study_id, 30)


def evict(katib: Installation, pod: str) -> None:
    """What `kubectl drain` does to each Pod of a node. Raises ClusterError when a budget forbids it."""
    metadata = {"name": pod, "namespace": katib.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{katib.namespace}/pods/{pod}/eviction"
    katib.cluster.kubectl("create", "--raw", path, "-f", "-", data=json.dumps(eviction))


def test_whoever_drains_nodes_takes_one_manager_at_a_time_and_no_call_fails(katib: Installation) -> None:
    katib.wait_until_working()
    first, second = (pod["metadata"]["name"] for pod in katib.pods("manager"))
    with katib.client() as client:
        limits = {"max_trials": 6, "max_parallel": 2}
        study_id = client.create_study(study(name="drained", image=katib.cluster.busybox, script=STEPS, limits=limits))
    caller = Caller(katib, study_id)
    with caller.calling():
        evict(katib, first)
        with pytest.raises(ClusterError, match="would violate the pod's disruption budget"):
            evict(katib, second)
        katib.wait_until_ready("deployment/katib-manager")
        wait_until("the budget's leave", lambda: evict(katib, second) is None, timeout=60, every=1)
        katib.wait_until_ready("deployment/katib-manager")
        studies_end(katib, study_id)
    assert caller.failures == []
    run_to_its_end(katib, study_id, 6)


# A new algorithm


@pytest.mark.parametrize("form", ["package", "service"])
def test_an_algorithm_of_ones_own_joins_and_leaves_and_nothing_else_notices(katib: Installation, form: str) -> None:
    name = {"package": "halton", "service": "hillclimb"}[form]
    archive = example_image(form, name)
    katib.cluster.import_image(archive)
    manifest = (EXAMPLES / form / "suggestion.yaml").read_text()
    mine = study(
        name=name,
        algorithm=name,
        image=katib.cluster.busybox,
        script="sleep 1; echo acc=$x",
        limits={"max_trials": 400},
    )
    others = study(
        name=f"beside-{name}", image=katib.cluster.busybox, script="sleep 1; echo acc=$x", limits={"max_trials": 400}
    )
    with katib.client() as client:
        beside = client.create_study(others)
        lives = katib.lives()
        # As long as a name can be looked for in vain before whoever looks makes long pauses.
        refused_until = time.monotonic() + (120 if form == "package" else 0)
        while True:
            with pytest.raises(FailedPreconditionError, match=f"suggestion-{name}"):
                client.create_study(mine)
            if time.monotonic() > refused_until:
                break
            time.sleep(1)
        katib.kubectl("apply", "-f", "-", data=manifest)
        katib.wait_until_ready(f"deployment/suggestion-{name}")
        begin = time.monotonic()
        # The cluster takes a moment to send what comes for a Service to a Pod that has become ready: the manager waits for it.
        study_id = client.create_study(mine)
        print(f"{name}: the first study {time.monotonic() - begin:.1f} s after the Pod was ready")
        until(lambda: client.get_study(study_id).summary.running > 0, AT_ONCE_S)
        until(lambda: client.get_study(study_id).summary.completed >= 2, STUDY_S)

        katib.kubectl("delete", "-f", "-", data=manifest)
        done = client.get_study(beside).summary.completed
        reason = StudyReason.SUGGESTION_UNAVAILABLE
        until(lambda: client.get_study(study_id).summary.reason == reason, STUDY_S)
        until(lambda: client.get_study(beside).summary.completed > done + 2, STUDY_S)
        assert client.get_study(beside).summary.reason == ""

        waiting = client.get_study(study_id).summary.completed
        katib.kubectl("apply", "-f", "-", data=manifest)
        katib.wait_until_ready(f"deployment/suggestion-{name}")
        until(lambda: client.get_study(study_id).summary.completed > waiting + 2, STUDY_S)
        for one in (study_id, beside):
            client.stop_study(one)
    katib.kubectl("delete", "-f", "-", data=manifest)
    until(lambda: katib.lives().keys() == lives.keys(), STUDY_S, poll=0.5)
    assert katib.lives() == lives


def example_image(form: str, name: str) -> Path:
    folder = EXAMPLES / form
    if form == "service":
        (folder / "api.proto").write_bytes((ROOT / "proto" / "api.proto").read_bytes())
    try:
        return build(f"suggestion-{name}:1", folder, SUGGESTION=SUGGESTION)
    finally:
        (folder / "api.proto").unlink(missing_ok=True)


def test_the_page_takes_a_reader_to_a_running_algorithm_on_a_cluster(katib: Installation, tmp_path: Path) -> None:
    """Its commands, word for word, but for docker and kind, which there are none of here."""
    shutil.copytree(EXAMPLES, tmp_path / "examples" / "custom-suggestion")
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    deploying, asking = commands("own-algorithm.md", "On a cluster")
    serving, climbing = commands("own-algorithm.md", "A service")

    follow(katib, tmp_path, deploying)
    begin = time.monotonic()
    said = follow(katib, tmp_path, asking)
    print(f"the study on halton took {time.monotonic() - begin:.1f} s\n{said}")
    assert re.search(r"x=0\.25\b", said), said
    assert "COMPLETED" in said
    follow(katib, tmp_path, serving)
    follow(katib, tmp_path, climbing)
    with katib.client() as client:
        (climb,) = [s for s in client.list_studies().items if s.name == "climb"]
    studies_end(katib, climb.id)
    with katib.client() as client:
        assert [t.state for t in trials(client, climb.id)] == [TrialState.COMPLETED] * 6
    for form in ("package", "service"):
        katib.kubectl("delete", "-f", str(EXAMPLES / form / "suggestion.yaml"))


# Who may do what


def test_the_manager_has_used_every_verb_that_it_is_given_and_wanted_no_other(katib: Installation) -> None:
    """By what the API server has written down: of all tests above, of a study that is stopped after somebody has deleted one of
    its Pods, and of the log of a Pod that is gone when nobody remembers it."""
    assert isinstance(katib.cluster, Cluster)
    with katib.client() as client:
        brief = study(name="brief", image=katib.cluster.busybox, script="echo acc=1", limits={"max_trials": 1})
        brief_id = client.create_study(brief)
        spec = replace(
            brief, name="verbs", command=("sh", "-c", "echo acc=1; sleep 600", "sh"), limits=Limits(max_trials=2)
        )
        study_id = client.create_study(spec)
        until(lambda: client.get_study(study_id).summary.running == 2, STUDY_S)

        def pods(study_id: str) -> list[Object]:
            return [p for p in katib.trial_pods() if p["metadata"]["labels"]["katib.kubeflow.org/study"] == study_id]

        pod = until(lambda: pods(study_id), STUDY_S)[0]
        katib.cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", katib.trials, "--grace-period=1")
        client.stop_study(study_id)
    for one in (study_id, brief_id):
        studies_end(katib, one)
    # What ended well is removed when no late manager can start it any more.
    until(lambda: not pods(brief_id), STUDY_S, poll=1)
    katib.kubectl("rollout", "restart", "deployment/katib-manager")
    katib.wait_until_working()
    with katib.client() as client:
        assert client.trial_log(trials(client, brief_id)[0].id).data == b""
    granted = {(resource, verb) for resource, verbs in VERBS.items() for verb in verbs}
    user = f"system:serviceaccount:{katib.namespace}:katib-manager"

    def used() -> bool:
        asked = katib.cluster.asked_by(user)  # type: ignore[attr-defined]
        if any(code == 403 for _, _, code in asked):
            raise AssertionError(f"refused: {sorted(asked)}")
        unused = granted - {(resource, verb) for resource, verb, _ in asked}
        if unused:
            raise ClusterError(f"never used: {sorted(unused)}")
        return True

    wait_until("the use of every verb", used, timeout=60, every=1)
    assert {(resource, verb) for resource, verb, _ in katib.cluster.asked_by(user)} == granted
    may = katib.kubectl("auth", "can-i", "--list", f"--as={user}")
    assert "secrets" not in may


# Images


def test_the_suggestion_image_has_what_algorithms_need_and_nothing_of_the_manager(katib: Installation) -> None:
    wanted = ("katib.suggestion.server", "numpy", "scipy", "sklearn", "grpc")
    unwanted = (
        *("sqlalchemy", "alembic", "pymysql", "kubernetes", "prometheus_client", "pytest", "grpc_tools"),
        *("katib.manager", "katib.worker", "katib.cli", "katib.local", "katib.earlystopping"),
    )
    found = look(katib, "look-suggestion", SUGGESTION, *wanted, *unwanted)
    assert found["modules"] == list(wanted)
    assert (found["programs"], found["caches"], found["uid"]) == ([], [], 65532)
    bill = found["bill"]
    assert isinstance(bill, list)
    assert {"katib", "numpy", "grpcio"} <= set(bill)
    assert "sqlalchemy" not in bill


def test_the_manager_image_has_its_programs_and_nothing_of_the_algorithms(katib: Installation) -> None:
    from tests.cluster.installation import MANAGER

    wanted = ("katib.manager.server", "katib.earlystopping.server", "katib.cli.main", "sqlalchemy", "kubernetes")
    found = look(katib, "look-manager", MANAGER, *wanted, "scipy", "sklearn", "pytest", "grpc_tools")
    assert found["modules"] == list(wanted)
    assert (found["programs"], found["caches"], found["uid"]) == ([], [], 65532)
