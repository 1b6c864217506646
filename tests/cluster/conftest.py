"""The cluster that the tests of a run share.

`KATIB_TEST_KUBECONFIG` names one to use: nothing but namespaces of the tests' own is made there, and they are removed. Without,
a cluster of the run's own is started on this machine; see cluster.py for what that takes. Where it can't be had the tests are
skipped and say why; where CI=true they fail.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.api import Api, GivenCluster
from tests.cluster.cluster import Cluster
from tests.cluster.outside import Katib
from tests.e2e.harness import world

# The first test waits for the start as well; what is waited for has a deadline of its own, and says more when it passes.
_TEST_S = 300


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Ready for Pods."""
    given = os.environ.get("KATIB_TEST_KUBECONFIG")
    if given:
        kubectl = shutil.which("kubectl") or programs.folder() / "kubectl"
        yield GivenCluster(kubectl, Path(given), tmp_path_factory.mktemp("kubectl"))
        return
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail("tests on the cluster share one: run them with make test-cluster, without -n")
    missing = programs.missing()
    if missing:
        sentence = f"no cluster to test with. This machine lacks: {'; '.join(missing)}. Or set KATIB_TEST_KUBECONFIG"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    own = Cluster()
    own.start()
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture
def own_cluster(cluster: Api) -> Cluster:
    """A cluster whose parts may be stopped."""
    if not isinstance(cluster, Cluster):
        pytest.skip("stops parts of the cluster, which is not done to the one in KATIB_TEST_KUBECONFIG")
    return cluster


@pytest.fixture
def namespace(cluster: Api) -> Iterator[str]:
    """A namespace of the test's own."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture
def stranger(tmp_path: Path, cluster: Api, namespace: str) -> Iterator[Katib]:
    """Katib outside of the cluster, with an account that may do nothing there yet."""
    with world(tmp_path) as it:
        yield Katib(it, cluster, namespace)


@pytest.fixture
def katib(stranger: Katib) -> Iterator[Katib]:
    """Katib outside of the cluster, with the rights that `deploy/` gives it. It never wants another."""
    with stranger.granted():
        yield stranger


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the cluster is for `make test-cluster`."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()) and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_TEST_S))
