import pytest

from katib.worker.kubernetes.access import open_access
from katib.worker.kubernetes.policy import Policy
from katib.worker.kubernetes.worker import KubernetesWorker
from tests.worker.driving import Driver
from tests.worker.kubernetes.apiserver import ApiServer, kubeconfig
from tests.worker.kubernetes.driving import DEADLINE_S, QUICK, SPEC
from tests.worker.kubernetes.node import Node


@pytest.fixture
def api():
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def node(api):
    api.node = Node(api)
    return api.node


@pytest.fixture
def access(api, tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(api.url))

    def make():
        return open_access(str(file))

    return make


@pytest.fixture
def new_worker(access):
    """A function that gives another worker, as a restarted manager has it."""
    made = []

    def make(policy: Policy | None = None, **options):
        worker = KubernetesWorker(access(), policy or Policy(), **options)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(node, new_worker):
    return new_worker(fence_s=0.5, reflector_options=QUICK)


@pytest.fixture
def driver(worker):
    return Driver(worker, SPEC, DEADLINE_S)
