"""Katib as `deploy/` installs it, with images that are built here under the names that stand there."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from katib.api.client import ManagerClient
from katib.domain.errors import KatibError
from tests.cluster import images
from tests.cluster.api import Api, Object
from tests.cluster.processes import ClusterError, wait_until
from tests.deploy.manifests import DEPLOY, ROOT, Manifests, rendered
from tests.storage.programs import mysql_folder

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MANAGER = f"katib-manager:{VERSION}"
SUGGESTION = f"katib-suggestion:{VERSION}"
# The full names of mariadb:11.4, mysql:8.4 and python:3.13-slim, by which the cluster knows what stands in for them.
MARIADB = "docker.io/library/mariadb:11.4"
MYSQL = "docker.io/library/mysql:8.4"
PYTHON = "docker.io/library/python:3.13-slim"
NAMESPACE, TRIALS = "katib", "katib-trials"
_VOLUME = "katib-database"
# Everything of a start on a machine with other work: images are there, but ten Pythons begin at once.
READY_S = 420.0


def build(tag: str, context: Path, dockerfile: Path | None = None, **arguments: str) -> Path:
    """An image on top of the one with Python."""
    given = {"BASE": images.PYTHON, **arguments}
    options = [f"--build-arg={name}={value}" for name, value in given.items()]
    return images.build(tag, context, dockerfile or context / "Dockerfile", *options)


def manager_image() -> Path:
    return build(MANAGER, ROOT, ROOT / "Dockerfile.manager", VERSION=VERSION)


def suggestion_image() -> Path:
    return build(SUGGESTION, ROOT, ROOT / "Dockerfile.suggestion", VERSION=VERSION)


def mariadb_image() -> Path:
    return build(MARIADB, Path(__file__).parent / "mariadb")


def mysql_image() -> Path:
    """Of the server that tests/install-mysql.sh has fetched, whose version is another one than the name says."""
    folder = mysql_folder()
    command = [folder / "mysqld", "--version"]
    version = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()[2]
    context = Path(__file__).parent / "mysql"
    given = [f"--build-arg=BASE={images.PYTHON}", f"--build-arg=VERSION={version}", f"--volume={folder}:/mysql:ro"]
    return images.build(MYSQL, context, context / "Dockerfile", *given)


def python_image() -> Path:
    """Debian's Python under the name of the official image."""
    return build(PYTHON, Path(__file__).parent / "python")


def moved(text: str, namespace: str, trials: str) -> str:
    """The manifests, with other namespaces than `katib` and `katib-trials`."""
    namespaces = {"katib": namespace, "katib-trials": trials}
    text = re.sub(r"(?<=namespace[:=])( ?)(katib-trials|katib)(?![-\w])", lambda m: m[1] + namespaces[m[2]], text)
    objects = Manifests(text).objects
    for found in objects:
        if found["kind"] == "Namespace":
            found["metadata"]["name"] = namespaces[found["metadata"]["name"]]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def with_mariadb(folder: Path, *components: str, services: Collection[str] = ()) -> str:
    """The default installation but for the database, with the dashboard; and one of each service, or of `services` alone. What
    takes ten leases is not to take a hundred seconds. `components`: further ones."""
    bases = [f"base/{name}" for name in ("namespaces", "trials", "manager", "services")]
    usual = ["components/dashboard", "components/images", "components/mariadb"]
    return _one_of_each(folder, bases, [*usual, *components], services, "KATIB_LEASE=4")


def overlay(folder: Path, name: str, services: Collection[str]) -> str:
    """As it stands in `deploy/overlays`, but for one of each of `services`, and none of the others."""
    return _one_of_each(folder, [f"overlays/{name}"], [], services)


def _one_of_each(
    folder: Path, resources: Sequence[str], components: Sequence[str], services: Collection[str], *settings: str
) -> str:
    wanted = f"({'|'.join(services)})" if services else ".*"
    up = "/".join([".."] * (len(folder.resolve().parts) - 1))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{up}{DEPLOY}/{name}" for name in resources],
        "components": [f"{up}{DEPLOY}/{name}" for name in components],
        "configMapGenerator": [
            {"name": "katib-manager", "namespace": NAMESPACE, "behavior": "merge", "literals": [setting]}
            for setting in settings
        ],
        "patches": [
            {
                "target": {"kind": "Deployment", "name": f"(vizier-)?(suggestion|earlystopping)-{which}"},
                "patch": json.dumps([{"op": "replace", "path": "/spec/replicas", "value": count}]),
            }
            for which, count in ((".*", 0), (wanted, 1))
        ],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return rendered(folder)


class Installation:
    """Katib in a cluster."""

    namespace, trials = NAMESPACE, TRIALS

    def __init__(self, cluster: Api) -> None:
        self.cluster = cluster

    def wait_until_ready(self, *workloads: str, timeout: float = READY_S) -> None:
        """Of all of them, or of those named."""
        listed = workloads or tuple(
            f"{found['kind'].lower()}/{found['metadata']['name']}"
            for found in self.cluster.get("deployments,statefulsets", namespace=self.namespace)["items"]
        )
        for name in listed:
            try:
                self.kubectl("rollout", "status", name, f"--timeout={timeout:.0f}s", timeout=timeout + 30)
            except ClusterError as error:
                raise ClusterError(f"{error}\n{self.described()}") from error

    def wait_until_working(self, timeout: float = READY_S) -> None:
        """Until every manager has found the database, and the Service leads to them."""
        self.wait_until_ready("deployment/katib-manager", timeout=timeout)

        def answers() -> bool:
            try:
                # The Service leads each connection to any of them.
                for _ in range(8):
                    with self.client() as client:
                        client.list_studies()
            except KatibError as error:
                raise ClusterError(error.message) from error
            return True

        wait_until("the managers' answers", answers, timeout=timeout, every=0.5)

    def described(self) -> str:
        """What Pods wait for, and what they have said."""
        told = [
            self.kubectl("get", "pods", "-o", "wide"),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp")[-4000:],
        ]
        for pod in self.pods():
            name = pod["metadata"]["name"]
            said = self.kubectl("logs", name, "--all-containers", "--tail=15", "--ignore-errors")
            told.append(f"--- {name}\n{said[-1500:]}")
        return "\n".join(told)

    def kubectl(self, *arguments: str, data: str | None = None, timeout: float = 120) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, data=data, timeout=timeout)

    def cli(self, *arguments: str, data: str | None = None, timeout: float = 300) -> str:
        """The command line in a manager's Pod, through the Service as everybody."""
        server = ["katib-cli", "-s", "katib-manager:6789", *arguments]
        return self.kubectl("exec", "-i", "deploy/katib-manager", "--", *server, data=data or "", timeout=timeout)

    @property
    def address(self) -> str:
        """The manager's Service, as it is reached from this machine."""
        return f"{self.cluster.get('service', 'katib-manager', self.namespace)['spec']['clusterIP']}:6789"

    def client(self) -> ManagerClient:
        return ManagerClient(self.address, 30)

    def pods(self, component: str = "") -> list[Object]:
        selector = [f"-l=app.kubernetes.io/component={component}"] if component else []
        return list(self.cluster.get("pods", "", self.namespace, *selector)["items"])

    def trial_pods(self) -> list[Object]:
        return list(self.cluster.get("pods", namespace=self.trials)["items"])

    def lives(self) -> Mapping[str, tuple[str, int]]:
        """Every Pod by its name, with its uid and how often its containers were started again."""
        return {
            pod["metadata"]["name"]: (
                pod["metadata"]["uid"],
                sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])),
            )
            for pod in self.pods()
        }


@contextmanager
def described_if_tests_fail(session: pytest.Session, it: Installation) -> Iterator[None]:
    """Prints the state of its Pods behind the tests that use it."""
    failed = session.testsfailed
    yield
    if session.testsfailed > failed:
        print(it.described())


class Installations:
    """At most one at a time: modules that want the same one share it, as it takes a minute and most of a machine. The last one
    goes with its cluster."""

    def __init__(self, cluster: Api, new_folder: Callable[[], Path]) -> None:
        self._cluster, self._new_folder = cluster, new_folder
        self._name = ""

    def get(self, name: str, manifest: Callable[[Path], str], database: Callable[[], Path]) -> Installation:
        """The one of this name; it is made unless it is there, in the place of any other. `database`: the archive of its
        image."""
        it = Installation(self._cluster)
        if self._name != name:
            self.remove()
            self._name = name
            folder = self._new_folder()
            text = manifest(folder)
            for archive in (manager_image(), suggestion_image(), database(), python_image()):
                self._cluster.import_image(archive)
            self._cluster.create(_volume(self._cluster, folder))
            self._cluster.kubectl("apply", "-f", "-", data=text)
        it.wait_until_ready()
        return it

    def remove(self) -> None:
        """Returns when nothing is left of it."""
        if self._name:
            self._name = ""
            self._cluster.kubectl("delete", "namespace", TRIALS, NAMESPACE, "--ignore-not-found", timeout=300)
            self._cluster.kubectl("delete", "persistentvolume", _VOLUME, "--ignore-not-found", "--wait=false")


def _volume(cluster: Api, folder: Path) -> Object:
    """A volume for the database, as a cluster without a provisioner has none; it is a folder of this machine."""
    place = folder / "volume"
    place.mkdir()
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _VOLUME},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": str(place)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
            "claimRef": {"namespace": NAMESPACE, "name": "data-katib-database-0"},
        },
    }


def studies_end(it: Installation, study_id: str, timeout: float = 300) -> None:
    """Waits for a study's end, whatever becomes of the calls meanwhile."""

    def ended() -> bool:
        try:
            with it.client() as client:
                return client.get_study(study_id).summary.state.finished
        except KatibError as error:
            raise ClusterError(error.message) from error

    wait_until(f"the end of study {study_id}", ended, timeout=timeout, every=0.5)
