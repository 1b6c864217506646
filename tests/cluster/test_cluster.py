"""The cluster does what tests of Katib rely on."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import images, programs
from tests.cluster.api import Api, states
from tests.cluster.cluster import Cluster
from tests.cluster.processes import ClusterError, wait_until

_FOREVER = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done")
_ASK_API = """
import ssl, sys, urllib.error, urllib.request
place = "/var/run/secrets/kubernetes.io/serviceaccount"
url = f"https://kubernetes.default.svc/api/v1/namespaces/{open(place + '/namespace').read()}/pods"
request = urllib.request.Request(url, headers={"Authorization": "Bearer " + open(place + "/token").read()})
try:
    answer = urllib.request.urlopen(request, timeout=30, context=ssl.create_default_context(cafile=place + "/ca.crt"))
    print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_every_node_is_ready_and_the_version_is_the_pinned_one(own_cluster: Cluster) -> None:
    nodes = own_cluster.get("nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["node-1"]
    assert [one["status"] for one in nodes[0]["status"]["conditions"] if one["type"] == "Ready"] == ["True"]
    assert nodes[0]["status"]["nodeInfo"]["kubeletVersion"] == programs.version()
    versions = json.loads(own_cluster.kubectl("version", "-o", "json"))
    assert versions["serverVersion"]["gitVersion"] == versions["clientVersion"]["gitVersion"] == programs.version()


def test_a_pod_is_bound_by_the_scheduler_runs_and_its_log_is_read_through_the_api(cluster: Api, namespace: str) -> None:
    cluster.run("hello", namespace, "sh", "-c", "echo hello; echo world")
    pod = cluster.wait_for_phase("hello", namespace, "Succeeded")
    assert cluster.kubectl("logs", "-n", namespace, "hello") == "hello\nworld\n"
    assert pod["spec"]["schedulerName"] == "default-scheduler"
    assert pod["spec"]["nodeName"]
    wait_until(
        "the scheduler's event",
        lambda: [
            event
            for event in cluster.get("events", namespace=namespace)["items"]
            if event["reason"] == "Scheduled"
            and "default-scheduler" in (event["reportingComponent"], event["source"].get("component"))
        ],
    )


def test_an_image_in_an_archive_is_one_that_pods_run_once_it_is_imported(cluster: Api, namespace: str) -> None:
    cluster.import_image(images.python())
    cluster.run("python", namespace, "python3", "-c", "print(6 * 7)", image=images.PYTHON)
    cluster.wait_for_phase("python", namespace, "Succeeded")
    assert cluster.kubectl("logs", "-n", namespace, "python") == "42\n"


def test_a_pod_that_takes_more_than_its_memory_is_killed_for_it(cluster: Api, namespace: str) -> None:
    limits = {"resources": {"limits": {"memory": "32Mi"}}}
    cluster.run("greedy", namespace, "tail", "-c", "200m", "/dev/zero", container=limits)
    pod = cluster.wait_for_phase("greedy", namespace, "Failed")
    assert [state["terminated"]["reason"] for state in states(pod)] == ["OOMKilled"]


def test_an_image_that_is_nowhere_is_said_so_within_seconds(cluster: Api, namespace: str) -> None:
    cluster.run("nowhere", namespace, "true", image="registry.invalid/nowhere:1")

    def refused() -> bool:
        found = [state.get("waiting", {}).get("reason") for state in states(cluster.get("pod", "nowhere", namespace))]
        return bool(found) and found[0] in ("ErrImagePull", "ImagePullBackOff")

    wait_until("the refusal of the image", refused)


def test_a_pod_that_fits_nowhere_is_unschedulable(cluster: Api, namespace: str) -> None:
    cluster.run("huge", namespace, "true", container={"resources": {"requests": {"cpu": "1000"}}})

    def unschedulable() -> bool:
        conditions = cluster.get("pod", "huge", namespace)["status"].get("conditions", [])
        return any(one["type"] == "PodScheduled" and one["reason"] == "Unschedulable" for one in conditions)

    wait_until("the scheduler's refusal", unschedulable)


def test_a_pod_deleted_by_hand_is_gone(cluster: Api, namespace: str) -> None:
    cluster.run("unwanted", namespace, *_FOREVER)
    cluster.wait_for_phase("unwanted", namespace, "Running")
    cluster.kubectl("delete", "pod", "-n", namespace, "unwanted")
    assert cluster.get("pods", namespace=namespace)["items"] == []


def test_a_service_is_found_by_its_name(cluster: Api, namespace: str) -> None:
    serve = "echo answered > /tmp/index.html; exec httpd -f -p 6789 -h /tmp"
    cluster.run("server", namespace, "sh", "-c", serve)
    cluster.kubectl("label", "pod", "-n", namespace, "server", "app=server")
    ports = {"selector": {"app": "server"}, "ports": [{"port": 6789}]}
    named = {"name": "suggestion-random", "namespace": namespace}
    cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": ports})
    ask = "until wget -q -O - http://suggestion-random:6789/; do sleep 0.2; done"
    cluster.run("client", namespace, "sh", "-c", ask)
    cluster.wait_for_phase("client", namespace, "Succeeded")
    assert "answered" in cluster.kubectl("logs", "-n", namespace, "client")


def test_a_pod_speaks_to_the_api_as_its_service_account_and_may_what_its_role_says(
    own_cluster: Cluster, namespace: str
) -> None:
    image = own_cluster.import_python()
    own_cluster.run("stranger", namespace, "python3", "-c", _ASK_API, image=image)
    own_cluster.wait_for_phase("stranger", namespace, "Succeeded")
    assert own_cluster.kubectl("logs", "-n", namespace, "stranger") == "403\n"
    to = f"--serviceaccount={namespace}:default"
    own_cluster.kubectl("create", "rolebinding", "reader", "-n", namespace, "--clusterrole=view", to)
    own_cluster.run("reader", namespace, "python3", "-c", _ASK_API, image=image)
    own_cluster.wait_for_phase("reader", namespace, "Succeeded")
    assert own_cluster.kubectl("logs", "-n", namespace, "reader") == "200\n"


def test_pods_go_on_while_the_api_server_is_away(own_cluster: Cluster, namespace: str) -> None:
    own_cluster.run("worker", namespace, "sh", "-c", "sleep 3; echo done")
    own_cluster.wait_for_phase("worker", namespace, "Running")
    own_cluster.kill_apiserver()
    with pytest.raises(ClusterError, match="refused"):
        own_cluster.get("pods", namespace=namespace)
    own_cluster.start_apiserver()
    own_cluster.wait_for_phase("worker", namespace, "Succeeded")
    assert own_cluster.kubectl("logs", "-n", namespace, "worker") == "done\n"


def test_a_restart_of_the_api_server_ends_a_watch_and_nothing_else(own_cluster: Cluster, namespace: str) -> None:
    own_cluster.run("steady", namespace, *_FOREVER)
    before = own_cluster.wait_for_phase("steady", namespace, "Running")
    with _watch(own_cluster, namespace) as watch:
        own_cluster.restart_apiserver()
        watch.wait(60)
    after = own_cluster.wait_for_phase("steady", namespace, "Running")
    assert [one["containerID"] for one in after["status"]["containerStatuses"]] == [
        one["containerID"] for one in before["status"]["containerStatuses"]
    ]


def test_connections_are_cut_and_come_back(own_cluster: Cluster, namespace: str) -> None:
    own_cluster.run("steady", namespace, *_FOREVER)
    own_cluster.wait_for_phase("steady", namespace, "Running")
    with _watch(own_cluster, namespace) as watch, own_cluster.cut_off():
        watch.wait(30)  # it learns of it at once, though it only listens
        with pytest.raises(ClusterError, match="refused"):
            own_cluster.get("pods", "", namespace)
    assert len(own_cluster.get("pods", "", namespace)["items"]) == 1


def test_what_is_sent_disappears_and_a_watch_does_not_notice(own_cluster: Cluster, namespace: str) -> None:
    own_cluster.run("steady", namespace, *_FOREVER)
    own_cluster.wait_for_phase("steady", namespace, "Running")
    with _watch(own_cluster, namespace) as watch, own_cluster.cut_off(silently=True):
        with pytest.raises(ClusterError, match=r"deadline exceeded|Timeout"):
            own_cluster.get("pods", "", namespace, "--request-timeout=2s")
        assert watch.poll() is None
    assert len(own_cluster.get("pods", "", namespace)["items"]) == 1


def test_nothing_is_stored_while_etcd_pauses(own_cluster: Cluster, namespace: str) -> None:
    create = ("create", "configmap", "-n", namespace)
    with own_cluster.etcd.paused(), pytest.raises(ClusterError, match=r"deadline exceeded|[Tt]imeout"):
        own_cluster.kubectl(*create, "early", "--request-timeout=2s")
    wait_until("a write after the pause", lambda: own_cluster.kubectl(*create, f"late-{uuid.uuid4().hex[:8]}"))


def test_a_pod_runs_to_its_end_on_a_slow_etcd(own_cluster: Cluster, namespace: str) -> None:
    with own_cluster.slow_etcd():
        own_cluster.run("patient", namespace, "true")
        own_cluster.wait_for_phase("patient", namespace, "Succeeded")


def test_an_old_version_is_gone_after_compaction(own_cluster: Cluster, namespace: str) -> None:
    listing = f"/api/v1/namespaces/{namespace}/pods"
    version = json.loads(own_cluster.kubectl("get", "--raw", listing))["metadata"]["resourceVersion"]
    own_cluster.run("newer", namespace, "true")
    own_cluster.wait_for_phase("newer", namespace, "Succeeded")
    own_cluster.compact()
    own_cluster.restart_apiserver()
    answer = own_cluster.kubectl("get", "--raw", f"{listing}?watch=1&resourceVersion={version}&timeoutSeconds=10")
    assert json.loads(answer.splitlines()[0])["object"]["code"] == 410


def test_a_node_that_loses_its_power_is_noticed_and_comes_back(own_cluster: Cluster, namespace: str) -> None:
    with own_cluster.second_node() as node:
        own_cluster.run("lost", namespace, *_FOREVER, spec={"nodeName": node.name})
        own_cluster.wait_for_phase("lost", namespace, "Running")
        node.lose_power()
        wait_until("the node is not ready", lambda: _ready(own_cluster, node.name) == "Unknown", timeout=120)
        # Nobody knows what has become of it.
        assert own_cluster.get("pod", "lost", namespace)["status"]["phase"] == "Running"
        node.boot()
        wait_until("the node is ready", lambda: _ready(own_cluster, node.name) == "True", timeout=120)
        pod = own_cluster.wait_for_phase("lost", namespace, "Failed", "Succeeded", timeout=120)
        assert "terminated" in states(pod)[0]


def _ready(cluster: Api, node: str) -> str:
    conditions = cluster.get("node", node)["status"]["conditions"]
    return next(str(one["status"]) for one in conditions if one["type"] == "Ready")


@contextmanager
def _watch(cluster: Api, namespace: str) -> Iterator["subprocess.Popen[str]"]:
    """A watch of the namespace's Pods that has seen one already."""
    with cluster.popen("get", "pods", "-n", namespace, "--watch", "-o", "name") as watch:
        assert watch.stdout
        assert watch.stdout.readline()
        try:
            yield watch
        finally:
            watch.kill()
