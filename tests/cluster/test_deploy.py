"""What `deploy/` installs works: on a real cluster, with the images that the Dockerfiles make."""

import json
import re

import pytest

from katib.domain.study import StudyState
from katib.domain.trial import TrialState
from tests.cluster.api import Api
from tests.cluster.installation import Installation, moved, studies_end
from tests.cluster.people import Caller
from tests.cluster.processes import ClusterError, wait_until
from tests.deploy.manifests import DEPLOY, OVERLAYS, Manifests, rendered, template
from tests.e2e.harness import study, trials, until

pytestmark = pytest.mark.timeout(1200)

STEPS = "for i in 1 2 3 4; do echo step=$i acc=0.$i; sleep 0.5; done; echo acc=$x"
STUDY_S = 300.0


# What the API server says


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_api_server_accepts_every_object_of_an_overlay(name: str, cluster: Api) -> None:
    """Strictly: a field that it does not know, or that stands there twice, is an error. And the security level of the
    namespace, which admits Pods alone, takes a Pod of every workload."""
    with cluster.namespace() as namespace, cluster.namespace() as other:
        text = moved(rendered(DEPLOY / "overlays" / name), namespace, other)
        # Of kinds that cert-manager brings the cluster knows nothing; tests/deploy/test_tls.py looks at these.
        known = [o for o in Manifests(text).objects[0]["items"] if not o["apiVersion"].startswith("cert-manager.io/")]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": known})
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


def test_everything_runs_as_it_was_given(installed: Installation) -> None:
    components = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in installed.pods()}
    assert components == {"manager", "suggestion", "earlystopping", "database", "dashboard"}
    assert all(restarts == 0 for _, restarts in installed.lives().values())
    labels = installed.cluster.get("namespace", installed.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    secret = installed.cluster.get("secret", "katib-database", installed.namespace)["data"]
    assert secret.keys() == {"password", "root-password", "url"}


def test_what_a_second_apply_brings_is_nothing_new(installed: Installation) -> None:
    """The passwords stay, whatever starts the database anew."""
    before = installed.cluster.get("secret", "katib-database", installed.namespace)["data"]
    installed.kubectl("rollout", "restart", "statefulset/katib-database")
    installed.wait_until_ready("statefulset/katib-database")
    log = installed.kubectl("logs", "katib-database-0", "-c", "secret")
    assert "there already" in log
    assert installed.cluster.get("secret", "katib-database", installed.namespace)["data"] == before
    installed.wait_until_working()


def test_a_study_by_the_command_line_from_its_creation_to_its_best_trial(installed: Installation) -> None:
    study_file = f"""
        name: whole
        objective: {{name: acc, type: maximize}}
        algorithm: random
        max_trials: 4
        max_parallel: 2
        parameters:
          - {{name: x, type: double, min: 0, max: 1}}
        image: {installed.cluster.busybox}
        scheduler: default-scheduler
        command: [sh, -c, 'echo acc=0.25; sleep 1; echo "acc=${{1#x=}}"', sh]
    """
    created = installed.cli("create-study", "-f", "-", data=study_file)
    study_id = re.findall(r"Study (\w+) is created", created)[0]
    pod = until(lambda: next(iter(installed.trial_pods()), None), STUDY_S)
    assert pod["metadata"]["namespace"] == installed.trials
    assert pod["metadata"]["labels"]["katib.kubeflow.org/study"] == study_id
    assert pod["spec"]["schedulerName"] == "default-scheduler"
    assert pod["spec"]["containers"][0]["image"] == installed.cluster.busybox
    studies_end(installed, study_id)
    listed = json.loads(installed.cli("list", "trials", "whole", "-o", "json"))
    assert len(listed) == 4, listed
    best = installed.cli("best", "whole", "-o", "json")
    with installed.client() as client:
        objectives = [trial.objective for trial in trials(client, study_id)]
    assert all(objective is not None for objective in objectives)
    assert repr(max(o for o in objectives if o is not None)) in best
    endless = study_file.replace("name: whole", "name: endless").replace("sleep 1", "sleep 600")
    installed.cli("create-study", "-f", "-", data=endless)
    with installed.client() as client:
        (summary,) = [s for s in client.list_studies().items if s.name == "endless"]
        until(lambda: client.get_study(summary.id).summary.running == 2, STUDY_S)
    installed.cli("stop-study", "endless")
    studies_end(installed, summary.id)
    with installed.client() as client:
        assert {t.state for t in trials(client, summary.id)} == {TrialState.KILLED}


def run_to_its_end(installed: Installation, study_id: str, count: int) -> None:
    """And nothing of it was lost or run twice."""
    studies_end(installed, study_id)
    with installed.client() as client:
        assert client.get_study(study_id).summary.state is StudyState.COMPLETED
        found = trials(client, study_id)
        assert [trial.state for trial in found] == [TrialState.COMPLETED] * count
        assert {trial.attempt for trial in found} == {1}
        for trial in found:
            seen = [o.value for o in client.get_trial(trial.id).observations]
            assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4, float(trial.parameters[0].value)])


def test_a_database_that_is_taken_away_in_the_middle_is_waited_for(installed: Installation) -> None:
    managers = {pod["metadata"]["uid"] for pod in installed.pods("manager")}
    with installed.client() as client:
        limits = {"max_trials": 10, "max_parallel": 3}
        study_id = client.create_study(study(name="db", image=installed.cluster.busybox, script=STEPS, limits=limits))
        until(lambda: client.get_study(study_id).summary.completed >= 2, STUDY_S)
    installed.kubectl("delete", "pod", "katib-database-0", timeout=200)
    installed.wait_until_ready("statefulset/katib-database")
    run_to_its_end(installed, study_id, 10)
    installed.wait_until_working()
    assert {pod["metadata"]["uid"] for pod in installed.pods("manager")} == managers
    assert all(restarts == 0 for _, restarts in installed.lives().values())


def test_managers_come_and_go_and_no_call_fails(installed: Installation) -> None:
    with installed.client() as client:
        limits = {"max_trials": 30, "max_parallel": 3}
        study_id = client.create_study(
            study(name="rolls", image=installed.cluster.busybox, script=STEPS, limits=limits)
        )
        until(lambda: client.get_study(study_id).summary.completed >= 1, STUDY_S)
    before = {pod["metadata"]["uid"] for pod in installed.pods("manager")}
    caller = Caller(installed, study_id)
    with caller.calling():
        installed.kubectl("rollout", "restart", "deployment/katib-manager")
        installed.wait_until_ready("deployment/katib-manager")
        after = {
            pod["metadata"]["uid"] for pod in installed.pods("manager") if "deletionTimestamp" not in pod["metadata"]
        }
        assert not after & before
        for replicas in (3, 1, 2):
            installed.kubectl("scale", "deployment/katib-manager", f"--replicas={replicas}")
            installed.wait_until_ready("deployment/katib-manager")
            until(lambda n=replicas: len(installed.pods("manager")) == n, STUDY_S, poll=0.5)  # type: ignore[misc]
        studies_end(installed, study_id)
    print(f"{caller.calls} calls, the slowest took {caller.slowest:.2f} s")
    assert caller.failures == []
    assert caller.calls > 100
    run_to_its_end(installed, study_id, 30)


def evict(installed: Installation, pod: str) -> None:
    """What `kubectl drain` does to each Pod of a node. Raises ClusterError when a budget forbids it."""
    metadata = {"name": pod, "namespace": installed.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{installed.namespace}/pods/{pod}/eviction"
    installed.cluster.kubectl("create", "--raw", path, "-f", "-", data=json.dumps(eviction))


def test_whoever_drains_nodes_takes_one_manager_at_a_time_and_no_call_fails(installed: Installation) -> None:
    installed.wait_until_working()
    first, second = (pod["metadata"]["name"] for pod in installed.pods("manager"))
    with installed.client() as client:
        limits = {"max_trials": 6, "max_parallel": 2}
        study_id = client.create_study(
            study(name="drained", image=installed.cluster.busybox, script=STEPS, limits=limits)
        )
    caller = Caller(installed, study_id)
    with caller.calling():
        evict(installed, first)
        with pytest.raises(ClusterError, match="would violate the pod's disruption budget"):
            evict(installed, second)
        installed.wait_until_ready("deployment/katib-manager")
        wait_until("the budget's leave", lambda: evict(installed, second) is None, timeout=60, every=1)
        installed.wait_until_ready("deployment/katib-manager")
        studies_end(installed, study_id)
    assert caller.failures == []
    run_to_its_end(installed, study_id, 6)
