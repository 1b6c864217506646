"""The cluster that the tests of a process share.

`KATIB_TEST_KUBECONFIG` names one to use: nothing but namespaces of the tests' own is made there, and they are removed. Without,
a cluster of the process's own is started on this machine; see cluster.py for what that takes. Where it can't be had the tests
are skipped and say why; where CI=true they fail.

`make test-cluster` runs several processes at once, each with its cluster: the tests wait most of their time. They are handed
out in groups: tests that share something which takes long to make stand together, others in handfuls.
"""

import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.cluster import programs
from tests.cluster.api import Api, GivenCluster
from tests.cluster.cluster import Cluster
from tests.cluster.installation import Installation, Installations, described_if_tests_fail, mariadb_image, with_mariadb
from tests.cluster.outside import Katib
from tests.e2e.harness import world

# The first test waits for the start as well; what is waited for has a deadline of its own, and says more when it passes.
_TEST_S = 300
# Those that take longest come first, so that no process has one of them left when the others have nothing any more.
_FIRST = (
    "test_deploy",
    "test_deploy_trials",
    "test_deploy_algorithms",
    "test_deploy_0_1",
    "test_deploy_secure",
    "test_troubles",
    "test_digits",
    "test_teardown",
)
# Modules whose tests are one group, by its name; those of others are cut into so many.
_TOGETHER = {
    "test_deploy": "installed",
    "test_deploy_algorithms": "installed for algorithms",
    "test_deploy_trials": "installed",
    "test_deploy_0_1": "installed otherwise",
    "test_deploy_secure": "installed otherwise",
    "test_operators": "operators",
}
_HANDFULS = 5
# Of this process.
_installed: list[Installations] = []


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Ready for Pods."""
    given = os.environ.get("KATIB_TEST_KUBECONFIG")
    if given:
        kubectl = shutil.which("kubectl") or programs.folder() / "kubectl"
        yield GivenCluster(kubectl, Path(given), tmp_path_factory.mktemp("kubectl"))
        return
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


@pytest.fixture(scope="session")
def installations(cluster: Api, tmp_path_factory: pytest.TempPathFactory) -> Installations:
    if not isinstance(cluster, Cluster):
        pytest.skip("reaches Services at their own addresses, which is the test cluster's alone")
    held = Installations(cluster, lambda: tmp_path_factory.mktemp("installation"))
    _installed.append(held)
    return held


@pytest.fixture(scope="module", autouse=True)
def room(request: pytest.FixtureRequest) -> None:
    """What is installed goes before tests that want nothing of it: it asks for most of a small machine."""
    if not _TOGETHER.get(request.path.stem, "").startswith("installed"):
        for held in _installed:
            held.remove()


@pytest.fixture(scope="module")
def installed(installations: Installations, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Katib in the cluster, by the default installation with MariaDB."""
    it = installations.get("default", with_mariadb, mariadb_image)
    with described_if_tests_fail(request.session, it):
        yield it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the cluster is for `make test-cluster`, what takes longest first."""
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in here:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_TEST_S))
    rank = {name: number for number, name in enumerate(_FIRST)}
    here.sort(key=lambda item: rank.get(item.path.stem, len(rank)))
    chosen = set(here)
    items[:] = [*(item for item in items if item not in chosen), *here]


class _Groups(LoadScopeScheduling):
    """A group goes to one process, as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.partition("::")[0]).stem
        if module in _TOGETHER:
            return _TOGETHER[module]
        return f"{module} {zlib.crc32(nodeid.encode()) % _HANDFULS}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """With `--dist loadscope`, which make test-cluster says."""
    return _Groups(config, log) if config.getoption("dist") == "loadscope" else None
