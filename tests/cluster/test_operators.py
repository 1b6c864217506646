"""What an operator's options and a cluster's own resources do for studies: namespaces, volumes, GPUs, Pods that stay for a
while, logs beyond all measure."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsSource
from katib.domain.errors import InvalidArgumentError
from katib.domain.pod import PodSettings
from katib.domain.study import Mount, StudyState
from katib.domain.trial import TrialState
from tests.cluster import account
from tests.cluster.api import Api, states
from tests.cluster.cluster import Cluster
from tests.cluster.outside import SLEEP, STUDY_S, Katib, assigned, values
from tests.e2e.harness import until, world

CLAIM = "shared"
GPU = "nvidia.com/gpu"
# Printed in a moment, and more than a manager may take for it.
LOG_MIB, ROOM_MIB = 100, 32


@pytest.fixture(scope="module")
def other(cluster: Api) -> Iterator[str]:
    """A second namespace for Pods."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture(scope="module")
def mount_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the manager sees the claims' volumes; the node sees the folder at the same place."""
    root = tmp_path_factory.mktemp("claims")
    (root / CLAIM).mkdir()
    return root


@pytest.fixture(scope="module")
def katib(cluster: Api, other: str, mount_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Katib]:
    with cluster.namespace() as namespace, world(tmp_path_factory.mktemp("katib")) as it:
        katib = Katib(it, cluster, namespace)
        with katib.granted():
            account.grant(cluster, other, namespace)
            it.suggestion("random")
            katib.start("keep=all", "keep_time=3s", f"namespaces={other}", f"mount_root={mount_root}", lease=1)
            yield katib


def test_a_study_s_pods_go_to_the_namespace_that_it_names_where_the_operator_lets_it(katib: Katib, other: str) -> None:
    study_id = katib.create(pod=PodSettings(namespace=other), limits={"max_trials": 2})
    made = until(lambda: katib.pods(study_id, other), STUDY_S)
    assert {pod["metadata"]["namespace"] for pod in made} == {other}
    state, found = katib.end(study_id)
    assert (state, values(found)) == (StudyState.COMPLETED, [0.5, 0.5])
    assert katib.pods(study_id) == []
    with pytest.raises(InvalidArgumentError, match="kube-system"):
        katib.create(pod=PodSettings(namespace="kube-system"))


def test_finished_pods_stay_as_long_as_the_operator_says_and_their_logs_with_them(katib: Katib) -> None:
    study_id = katib.create(script="echo last words; echo acc=0.5", limits={"max_trials": 1})
    _, (trial,) = katib.end(study_id)
    with katib.world.client() as client:
        assert b"last words" in client.trial_log(trial.id).data
    katib.pod(study_id, "Succeeded")
    until(lambda: not katib.pods(study_id), STUDY_S, poll=0.5)


def test_metrics_in_a_file_on_a_volume_are_read_by_the_manager_while_the_pod_runs(
    katib: Katib, mount_root: Path
) -> None:
    with claimed(katib, mount_root / CLAIM):
        write = (
            'for i in 1 2 3; do echo "{\\"epoch\\": $i, \\"acc\\": 0.$i}" >>"$KATIB_METRICS_PATH"; done; '
            f'[ "$KATIB_ATTEMPT" != 1 ] || {{ {SLEEP}; }}'
        )
        study_id = katib.create(
            script=write,
            mount=Mount(CLAIM, "/data"),
            collector=MetricsCollector(source=MetricsSource.FILE, format=MetricsFormat.JSON),
            limits={"max_trials": 1},
        )
        trial = until(lambda: t if (t := katib.trial(study_id)).objective == 0.3 else None, STUDY_S)
        assert trial.state is TrialState.RUNNING
        katib.stop(study_id)
        katib.end(study_id)
        with katib.world.client() as client:
            observations = client.get_trial(trial.id).observations
        assert [(one.step, one.value) for one in observations if one.name == "acc"] == [(1, 0.1), (2, 0.2), (3, 0.3)]


@contextmanager
def claimed(katib: Katib, folder: Path) -> Iterator[None]:
    """The claim, bound to a volume that is a folder of the node: of this machine."""
    name = f"{katib.namespace}-volume"
    size = {"storage": "1Gi"}
    volume = {
        "capacity": size,
        "accessModes": ["ReadWriteMany"],
        "storageClassName": name,
        "hostPath": {"path": str(folder), "type": "Directory"},
    }
    claim = {"accessModes": ["ReadWriteMany"], "storageClassName": name, "resources": {"requests": size}}
    katib.cluster.create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume})
    about = {"name": CLAIM, "namespace": katib.namespace}
    try:
        katib.cluster.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": claim})
        yield
    finally:
        katib.kubectl("delete", "persistentvolumeclaim", CLAIM, "--wait=false", "--ignore-not-found")
        katib.cluster.kubectl("delete", "persistentvolume", name, "--wait=false")


def test_trials_that_ask_for_a_gpu_take_turns_at_the_only_one(katib: Katib, own_cluster: Cluster) -> None:
    """A device that nobody has made, as far as the scheduler knows it."""
    node = own_cluster.nodes[0].name
    key = GPU.replace("/", "~1")
    path = f"/status/capacity/{key}"

    def patch(change: object) -> None:
        words = ("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps([change]))
        own_cluster.kubectl(*words)

    patch({"op": "add", "path": path, "value": "1"})
    try:
        until(lambda: own_cluster.get("node", node)["status"]["allocatable"].get(GPU) == "1", STUDY_S, poll=0.5)
        study_id = katib.create(gpu=1, script="sleep 1; echo acc=$x", limits={"max_trials": 2, "max_parallel": 2})
        waiting = until(lambda: [t for t in katib.trials(study_id) if t.reason == "Unschedulable"], STUDY_S, poll=0.2)
        assert f"Insufficient {GPU}" in waiting[0].message
        state, found = katib.end(study_id)
        ends = [states(pod)[0]["terminated"] for pod in katib.pods(study_id)]
        assert len(ends) == 2
    finally:
        patch({"op": "remove", "path": path})
    assert (state, values(found)) == (StudyState.COMPLETED, pytest.approx(assigned(found)))
    lives = sorted((life["startedAt"], life["finishedAt"]) for life in ends)
    assert lives[0][1] <= lives[1][0]


def test_a_log_beyond_all_measure_is_read_as_it_comes_and_takes_no_memory(katib: Katib) -> None:
    assert katib.manager is not None
    line = "x" * 1000
    script = f"yes {line} | head -c {LOG_MIB}m; echo; echo acc=0.75"
    before = most_memory_mib(katib.manager.popen.pid)
    state, found = katib.run(script=script, limits={"max_trials": 1})
    after = most_memory_mib(katib.manager.popen.pid)
    print(f"{LOG_MIB} MiB of log took {after - before:.0f} MiB of memory")
    assert (state, values(found)) == (StudyState.COMPLETED, [0.75])
    assert after - before < ROOM_MIB


def most_memory_mib(pid: int) -> float:
    """The most that the process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
