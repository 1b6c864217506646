"""The tests on a cluster that somebody names, by `KATIB_TEST_KUBECONFIG`: here the one that this process has started."""

import os
import subprocess
import sys

import pytest

from tests.cluster.cluster import Cluster
from tests.deploy.manifests import ROOT

_INNER_S = 600
# A study with its metrics, an image that is loaded, and one that stops what must not be stopped there.
_CHOSEN = (
    "test_studies.py::test_a_study_becomes_its_trials_each_with_its_metric_from_its_pod",
    "test_cluster.py::test_an_image_in_an_archive_is_one_that_pods_run_once_it_is_imported",
    "test_cluster.py::test_pods_go_on_while_the_api_server_is_away",
)


@pytest.mark.timeout(900)
def test_a_cluster_that_is_given_is_used_and_nothing_of_it_is_stopped_or_left_behind(own_cluster: Cluster) -> None:
    before = namespaces(own_cluster)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "KUBE"))}
    environment |= {
        "KATIB_TEST_KUBECONFIG": str(own_cluster.kubeconfig),
        "KATIB_TEST_BUSYBOX_IMAGE": own_cluster.busybox,
        "KATIB_TEST_PYTHON_IMAGE": own_cluster.python,
        "KATIB_TEST_LOAD_IMAGE": " ".join(own_cluster.nodes[0].loading("{}")),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "cluster"]
    done = subprocess.run(
        [*command, *(f"tests/cluster/{name}" for name in _CHOSEN)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_INNER_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 1 skipped" in done.stdout
    assert "is not done to the one in KATIB_TEST_KUBECONFIG" in done.stdout
    assert namespaces(own_cluster) <= before


def namespaces(cluster: Cluster) -> set[str]:
    """Those that nobody has removed."""
    found = cluster.get("namespaces")["items"]
    return {one["metadata"]["name"] for one in found if one["status"]["phase"] == "Active"}
